/** The bot's App Home. */

import { useMemo } from "react";

import { Blocks } from "../blocks/Blocks";
import { SurfaceProvider } from "../controls/SurfaceProvider";
import type { Json } from "../model/protocol";
import { useWorkspaceContext } from "./context";

export function HomePane() {
  const { store, bot } = useWorkspaceContext();
  const view = store.home;
  return (
    <div className="home" role="tabpanel" aria-label="Home" data-testid="app-home">
      {view ? (
        <HomeView view={view} />
      ) : (
        <p className="home-empty" role="status">
          {view === undefined ? "Loading…" : `${bot.real_name} has not published its home yet.`}
        </p>
      )}
    </div>
  );
}

function HomeView({ view }: { view: Json }) {
  const id = view["id"] as string;
  const where = useMemo(() => ({ view_id: id }), [id]);
  const blocks = (view["blocks"] ?? []) as Json[];
  return (
    <SurfaceProvider where={where} blocks={blocks}>
      <Blocks blocks={blocks} />
    </SurfaceProvider>
  );
}
