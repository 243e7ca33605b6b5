/** Connects the store to the server: fetches, listens, and sends what a person does. */

import { useCallback, useEffect, useMemo, useReducer, useRef } from "react";

import { api, RequestFailed } from "./api";
import { listen } from "./live";
import { DIRECT, type Place } from "./place";
import type { Answer, Json, Message, OptionList, Submitted } from "./protocol";
import { EMPTY, type Fetched, NOTE_AUTHOR, reduce, threadKey } from "./store";

/** The server says a failure twice, in its answer and as an event; the answer knows the thread. */
const ANSWER_FIRST_MS = 500;
const SAME_NOTE_MS = 4_000;

export type Send = ReturnType<typeof useWorkspace>["send"];

export function useWorkspace(user: string, place: Place) {
  const [store, dispatch] = useReducer(reduce, EMPTY);
  const lastNote = useRef({ text: "", at: 0 });
  const { thread, home } = place;
  const channel = place.channel === DIRECT ? null : place.channel; // until its id is known

  /** Shows a sentence as Slackbot would: only to this user, where it happened. */
  const note = useCallback((text: string, channelId: string | null, threadTs: string | null = null) => {
    const now = Date.now();
    if (lastNote.current.text === text && now - lastNote.current.at < SAME_NOTE_MS) return;
    lastNote.current = { text, at: now };
    if (channelId === null) dispatch({ type: "toast", text });
    else dispatch({ type: "live", event: { type: "ephemeral", message: slackbot(text, channelId, threadTs) } });
  }, []);

  /** Runs a request; what goes wrong becomes a note. Returns null then. */
  const attempt = useCallback(
    async <T>(work: Promise<T>, channelId: string | null, threadTs: string | null = null): Promise<T | null> => {
      try {
        const result = await work;
        const answer = result as Partial<Answer>;
        if (answer.ok === false) note(answer.message ?? answer.error ?? "That did not work.", channelId, threadTs);
        return result;
      } catch (failure) {
        if (!(failure instanceof RequestFailed)) throw failure;
        note(failure.message, channelId, threadTs);
        return null;
      }
    },
    [note],
  );

  const fetches = useRef(0);
  const load = useCallback(
    async (work: Promise<Fetched>) => {
      const fetch = ++fetches.current;
      dispatch({ type: "fetching", fetch });
      dispatch({ type: "fetched", fetch, found: await attempt(work, null) });
    },
    [attempt],
  );

  const looking = useRef(place);
  looking.current = place;

  useEffect(
    () =>
      listen(user, {
        onDown: () => dispatch({ type: "online", online: false }),
        onUp: () => {
          const { channel: open, thread: openThread } = looking.current;
          dispatch({ type: "online", online: true });
          // Events were missed: what is not on the screen is fetched when it is opened again.
          dispatch({ type: "forget_lists", except: open ? [open, threadKey(open, openThread ?? "")] : [] });
          void load(api.state(user).then((page) => ({ type: "state", page })));
        },
        onEvent: (event) => {
          dispatch({ type: "live", event });
          if (event.type === "delivery_failed") {
            setTimeout(() => note(event.message, event.channel), ANSWER_FIRST_MS);
          }
        },
      }),
    [user, load, note],
  );

  const online = store.online;
  useEffect(() => {
    if (!online || !channel) return;
    void load(api.messages(channel, user).then(({ messages }) => ({ type: "messages", channel, messages })));
  }, [online, channel, user, load]);
  useEffect(() => {
    if (!online || !channel || !thread) return;
    void load(
      api.replies(channel, thread, user).then(({ messages }) => ({ type: "replies", channel, ts: thread, messages })),
    );
  }, [online, channel, thread, user, load]);

  const isDirect = store.page?.channels.some((one) => one.id === channel && one.is_im) ?? false;
  useEffect(() => {
    if (!online || !isDirect) return;
    if (home) void load(api.home(user).then(({ view }) => ({ type: "home", view })));
    else void attempt(api.opened({ user, tab: "messages" }), null);
  }, [online, isDirect, home, user, load, attempt]);

  const send = useMemo(
    () => ({
      say: (where: string, text: string, threadTs: string | null, broadcast = false) =>
        text.startsWith("/")
          ? attempt(api.command({ user, channel: where, text, thread_ts: threadTs }), where, threadTs)
          : attempt(api.say({ user, channel: where, text, thread_ts: threadTs, broadcast }), where, threadTs),
      react: (message: Message, name: string, remove: boolean) =>
        attempt(
          api.react({ user, channel: message.channel, ts: message.ts, name, remove }),
          message.channel,
          message.thread_ts,
        ),
      stop: (where: string, threadTs: string) =>
        attempt(api.stop({ user, channel: where, thread_ts: threadTs }), where, threadTs),
      shortcut: (callback_id: string, message: Message | null) =>
        attempt(
          api.shortcut({ user, callback_id, channel: message?.channel ?? null, message_ts: message?.ts ?? null }),
          message?.channel ?? null,
        ),
      action: (body: Json, threadTs: string | null) =>
        attempt(api.action({ user, ...body }), (body["channel"] as string | undefined) ?? null, threadTs),
      submit: (viewId: string, values: Json): Promise<Submitted | null> =>
        attempt(api.submit({ user, view_id: viewId, values }), null),
      closeView: (viewId: string, all = false) => attempt(api.closeView({ user, view_id: viewId, all }), null),
      options: (body: Json): Promise<OptionList | null> => attempt(api.options({ user, ...body }), null),
    }),
    [user, attempt],
  );

  return { store, dispatch, send };
}

function slackbot(text: string, channel: string, threadTs: string | null): Message {
  const escaped = text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  return {
    channel,
    ts: (Date.now() / 1000).toFixed(6),
    user: NOTE_AUTHOR,
    text: escaped,
    username: "Slackbot",
    icon_emoji: null,
    bot_id: null,
    blocks: [],
    attachments: [],
    thread_ts: threadTs,
    reply_count: 0,
    reply_users: [],
    latest_reply: null,
    broadcast: false,
    reactions: [],
    files: [],
    streaming: false,
    ephemeral: true,
    edited_ts: null,
  };
}
