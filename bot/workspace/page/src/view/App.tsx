/** Keeps the address and the place in step, and decides whose page this is. */

import { useCallback, useEffect, useState } from "react";

import { api, RequestFailed } from "../model/api";
import { lastUser, type Place, readPlace, rememberUser, writePlace } from "../model/place";
import { WorkspaceView } from "./WorkspaceView";

export function App() {
  const [place, setPlace] = useState<Place>(() => readPlace(location.hash));
  const [problem, setProblem] = useState<string | null>(null);

  useEffect(() => {
    const follow = () => setPlace(readPlace(location.hash));
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);

  const go = useCallback((change: Partial<Place>) => {
    const next = { ...readPlace(location.hash), ...change };
    if (next.user) rememberUser(next.user);
    location.hash = writePlace(next);
  }, []);

  useEffect(() => {
    if (place.user) return;
    const start = async (user: string | null) => {
      try {
        const state = await api.state(user);
        go({ user: state.user });
      } catch (failure) {
        if (!(failure instanceof RequestFailed)) throw failure;
        if (user) await start(null);
        else setProblem(failure.message);
      }
    };
    void start(lastUser());
  }, [place.user, go]);

  if (problem)
    return (
      <div className="loading" role="alert">
        {problem}
      </div>
    );
  if (!place.user)
    return (
      <div className="loading" role="status">
        Loading the workspace…
      </div>
    );
  return <WorkspaceView key={place.user} user={place.user} place={place} go={go} />;
}
