/** What every part of the page may need: who is who, where we are, and how to act. */

import { createContext, useContext } from "react";

import type { Place } from "../model/place";
import type { Channel, PageState, User } from "../model/protocol";
import type { Store } from "../model/store";
import type { Send } from "../model/useWorkspace";

export interface Workspace {
  store: Store;
  page: PageState;
  me: User;
  bot: User;
  place: Place;
  theme: "light" | "dark";
  /** Looks elsewhere; what is left out stays as it is. */
  go: (change: Partial<Place>) => void;
  send: Send;
  person: (id: string) => User | undefined;
  channel: (id: string) => Channel | undefined;
  /** `#ops`, or the bot's name for a direct message. */
  channelTitle: (channel: Channel) => string;
  dismissToast: () => void;
  forgetViews: (ids: string[]) => void;
}

export const WorkspaceContext = createContext<Workspace | null>(null);

export function useWorkspaceContext(): Workspace {
  const workspace = useContext(WorkspaceContext);
  if (!workspace) throw new Error("used outside of the workspace");
  return workspace;
}
