/**
 * What every part of the page may need. Two contexts, because every live event changes the store:
 * what stands in each message reads only the directory, so that a message is drawn anew only when
 * it has changed itself.
 */

import { createContext, useContext } from "react";

import type { Place } from "../model/place";
import type { Channel, PageState, Shortcut, User, UserGroup } from "../model/protocol";
import type { Store } from "../model/store";
import type { Send } from "../model/useWorkspace";

/** Who is who, and how to act. */
export interface Directory {
  me: User;
  bot: User;
  users: User[];
  groups: UserGroup[];
  channels: Channel[];
  shortcuts: Shortcut[];
  theme: "light" | "dark";
  person: (id: string) => User | undefined;
  channel: (id: string) => Channel | undefined;
  /** `#ops`, or the bot's name for a direct message. */
  channelTitle: (channel: Channel) => string;
  /** Looks elsewhere; what is left out stays as it is. */
  go: (change: Partial<Place>) => void;
  send: Send;
}

export interface Workspace extends Directory {
  store: Store;
  page: PageState;
  place: Place;
  dismissToast: () => void;
  forgetViews: (ids: string[]) => void;
}

export const DirectoryContext = createContext<Directory | null>(null);
export const WorkspaceContext = createContext<Workspace | null>(null);

export function useDirectory(): Directory {
  const directory = useContext(DirectoryContext);
  if (!directory) throw new Error("used outside of the workspace");
  return directory;
}

export function useWorkspaceContext(): Workspace {
  const workspace = useContext(WorkspaceContext);
  if (!workspace) throw new Error("used outside of the workspace");
  return workspace;
}
