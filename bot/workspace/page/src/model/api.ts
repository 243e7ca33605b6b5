/** Requests to the workspace. Every failure becomes a `RequestFailed` with a sentence to show. */

import type { Answer, Json, Message, OptionList, PageState, Submitted } from "./protocol";

export class RequestFailed extends Error {}

async function request<T>(path: string, init?: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(`/page/${path}`, init);
  } catch {
    throw new RequestFailed("The workspace does not answer. Is it still running?");
  }
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) {
    const said = (body as { message?: string } | null)?.message;
    throw new RequestFailed(said ?? `The workspace answered ${response.status}.`);
  }
  return body as T;
}

const get = <T>(path: string, query: Record<string, string>) => request<T>(`${path}?${new URLSearchParams(query)}`);

const post = <T = Answer>(path: string, body: Json) =>
  request<T>(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });

export const api = {
  state: (user: string | null) => get<PageState>("state", user ? { user } : {}),
  messages: (channel: string, user: string) => get<{ messages: Message[] }>("messages", { channel, user }),
  replies: (channel: string, ts: string, user: string) =>
    get<{ messages: Message[] }>("replies", { channel, ts, user }),
  home: (user: string) => get<{ view: Json | null }>("home", { user }),
  opened: (body: Json) => post("opened", body),
  say: (body: Json) => post<{ ok: true; message: Message }>("say", body),
  command: (body: Json) => post("command", body),
  action: (body: Json) => post("action", body),
  submit: (body: Json) => post<Submitted>("submit", body),
  closeView: (body: Json) => post("close_view", body),
  options: (body: Json) => post<OptionList>("options", body),
  shortcut: (body: Json) => post("shortcut", body),
  stop: (body: Json) => post("stop", body),
  react: (body: Json) => post("react", body),
};
