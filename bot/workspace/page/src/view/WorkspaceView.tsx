/** The whole page as one user sees it. */

import { useCallback, useEffect, useMemo, useState } from "react";

import { ConfirmProvider } from "../controls/confirm";
import { DIRECT, type Place } from "../model/place";
import { useWorkspace } from "../model/useWorkspace";
import { ChannelPane } from "./ChannelPane";
import { DirectoryContext, type Workspace, WorkspaceContext } from "./context";
import { Modals } from "./Modal";
import { Sidebar } from "./Sidebar";
import { ThreadPane } from "./ThreadPane";
import { Toast } from "./Toast";
import { useNames } from "./useNames";
import { useNarrow, useTheme } from "./useMedia";

interface Props {
  user: string;
  place: Place;
  go: (change: Partial<Place>) => void;
}

export function WorkspaceView({ user, place, go }: Props) {
  const { store, dispatch, send } = useWorkspace(user, place);
  const theme = useTheme();
  const narrow = useNarrow();
  const [drawer, setDrawer] = useState(false);
  const leave = useCallback(() => setDrawer(false), []);
  const { page } = store;

  const directory = useNames(page, go, send, theme);
  const context = useMemo((): Workspace | null => {
    if (!page || !directory) return null;
    return {
      ...directory,
      store,
      page,
      place,
      dismissToast: () => dispatch({ type: "toast", text: null }),
      forgetViews: (ids) => dispatch({ type: "views_gone", ids }),
    };
  }, [store, page, directory, place, dispatch]);

  const open = page?.channels.find((channel) => channel.id === place.channel);
  const wanted = place.channel === DIRECT ? page?.channels.find((channel) => channel.is_im) : page?.channels[0];
  const instead = page && !open ? wanted?.id : undefined;
  useEffect(() => {
    if (instead) go(place.channel === DIRECT ? { channel: instead } : { channel: instead, thread: null, home: false });
  }, [instead, place.channel, go]);
  useEffect(() => {
    if (place.channel) dispatch({ type: "seen", channel: place.channel });
  }, [place.channel, open?.latest, dispatch]);
  useEffect(() => {
    if (page && open) document.title = `${open.is_im ? "Countersign" : `#${open.name}`} · ${page.team.name}`;
  }, [page, open]);

  if (!context || !directory || !open) {
    return (
      <div className="loading" role="status">
        {store.toast ?? "Loading the workspace…"}
      </div>
    );
  }
  const modal = context.page.views.length > 0;
  return (
    <DirectoryContext value={directory}>
      <WorkspaceContext value={context}>
        <ConfirmProvider>
          <div className={`app ${place.thread ? "with-thread" : ""} ${drawer ? "with-drawer" : ""}`}>
            {!store.online && (
              <div className="offline" role="status">
                Connecting to the workspace…
              </div>
            )}
            <Sidebar drawer={narrow && drawer} onLeave={leave} />
            {drawer && <button type="button" className="scrim" aria-label="Hide channels" onClick={leave} />}
            <ChannelPane
              channel={open}
              covered={narrow && (drawer || place.thread !== null)}
              onMenu={() => setDrawer(true)}
            />
            {place.thread && <ThreadPane channel={open} thread={place.thread} />}
            {!modal && <Toast />}
          </div>
          <Modals />
        </ConfirmProvider>
      </WorkspaceContext>
    </DirectoryContext>
  );
}
