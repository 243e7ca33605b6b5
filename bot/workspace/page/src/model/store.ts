/** What the page knows, and how each live event changes it. Pure. */

import type { Json, LiveEvent, Message, PageState, SuggestedPrompts, ThreadStatus } from "./protocol";

export interface Store {
  page: PageState | null;
  /** Top-level messages by channel; absent until fetched. */
  messages: Record<string, Message[]>;
  /** Threads by `threadKey`, the parent first; absent until fetched. */
  replies: Record<string, Message[]>;
  /** The App Home view; undefined until fetched, null when the bot has published none. */
  home: Json | null | undefined;
  /** Errors of a modal's last submission: view id -> block id -> message. */
  viewErrors: Record<string, Record<string, string>>;
  /** Mentions of this user since the channel was last looked at. */
  mentions: Record<string, number>;
  online: boolean;
  toast: string | null;
  /** Events since each fetch under way began: its answer may be older than they are. */
  journals: Record<number, LiveEvent[]>;
}

export const EMPTY: Store = {
  page: null,
  messages: {},
  replies: {},
  home: undefined,
  viewErrors: {},
  mentions: {},
  online: false,
  toast: null,
  journals: {},
};

export type Change =
  | { type: "online"; online: boolean }
  | { type: "fetching"; fetch: number }
  | { type: "fetched"; fetch: number; found: Fetched | null }
  | { type: "forget_lists"; except: string[] }
  | { type: "seen"; channel: string }
  | { type: "views_gone"; ids: string[] }
  | { type: "toast"; text: string | null }
  | { type: "live"; event: LiveEvent };

/** The answer to a fetch; null in `fetched` when there was none. */
export type Fetched =
  | { type: "state"; page: PageState }
  | { type: "messages"; channel: string; messages: Message[] }
  | { type: "replies"; channel: string; ts: string; messages: Message[] }
  | { type: "home"; view: Json | null };

export const threadKey = (channel: string, ts: string) => `${channel}/${ts}`;

export function reduce(store: Store, change: Change): Store {
  switch (change.type) {
    case "online":
      return { ...store, online: change.online };
    case "fetching":
      return { ...store, journals: { ...store.journals, [change.fetch]: [] } };
    case "fetched": {
      const { [change.fetch]: missed = [], ...journals } = store.journals;
      const known = { ...store, journals };
      return change.found
        ? missed.reduce((before, event) => apply(before, event, false), put(known, change.found))
        : known;
    }
    case "forget_lists": {
      const keep = <T>(lists: Record<string, T>) =>
        Object.fromEntries(Object.entries(lists).filter(([key]) => change.except.includes(key)));
      return { ...store, messages: keep(store.messages), replies: keep(store.replies) };
    }
    case "seen":
      return { ...store, mentions: { ...store.mentions, [change.channel]: 0 } };
    case "views_gone":
      return onPage(store, (page) => ({
        views: page.views.filter((view) => !change.ids.includes(view["id"] as string)),
      }));
    case "toast":
      return { ...store, toast: change.text };
    case "live": {
      const journals = Object.fromEntries(
        Object.entries(store.journals).map(([what, events]) => [what, [...events, change.event]]),
      );
      return apply({ ...store, journals }, change.event);
    }
  }
}

function put(store: Store, found: Fetched): Store {
  switch (found.type) {
    case "state":
      return { ...store, page: found.page };
    case "messages": {
      const { channel, messages } = found;
      return { ...store, messages: { ...store.messages, [channel]: withNotes(messages, store.messages[channel]) } };
    }
    case "replies": {
      const key = threadKey(found.channel, found.ts);
      return { ...store, replies: { ...store.replies, [key]: withNotes(found.messages, store.replies[key]) } };
    }
    case "home":
      return { ...store, home: found.view };
  }
}

function apply(store: Store, event: LiveEvent, isNew = true): Store {
  switch (event.type) {
    case "message":
      return counted(withLatest(withMessage(store, event.message), event.message), event.message, isNew);
    case "message_changed":
    case "ephemeral":
      return withMessage(store, event.message, event.type === "message_changed");
    case "message_deleted":
      return onLists(store, event.channel, (list) => list.filter((message) => message.ts !== event.ts));
    case "view_opened":
      return onPage(store, (page) => ({ views: [...without(page.views, event.view), event.view] }));
    case "view_updated":
      return onPage({ ...store, viewErrors: { ...store.viewErrors, [event.view["id"]]: {} } }, (page) => ({
        views: page.views.map((view) => (view["id"] === event.view["id"] ? event.view : view)),
      }));
    case "view_closed":
      return onPage(store, (page) => ({ views: without(page.views, { id: event.view_id }) }));
    case "view_errors":
      return { ...store, viewErrors: { ...store.viewErrors, [event.view_id]: event.errors } };
    case "home_published":
      return { ...store, home: event.view };
    case "status":
      return onPage(store, (page) => ({ statuses: replaced(page.statuses, event.status) }));
    case "suggested_prompts":
      return onPage(store, (page) => ({ prompts: replaced(page.prompts, event.prompts) }));
    case "channel":
      return onPage(store, (page) => ({
        channels: page.channels.some((channel) => channel.id === event.channel.id)
          ? page.channels.map((channel) => (channel.id === event.channel.id ? event.channel : channel))
          : [event.channel, ...page.channels].sort((a, b) => Number(a.is_im) - Number(b.is_im)),
      }));
    case "bot_connection":
      return onPage(store, () => ({ bot_connected: event.connected }));
    default:
      return store;
  }
}

const without = (views: Json[], view: Json) => views.filter((one) => one["id"] !== view["id"]);

function replaced<T extends ThreadStatus | SuggestedPrompts>(all: T[], one: T): T[] {
  return [...all.filter((old) => old.channel !== one.channel || old.thread_ts !== one.thread_ts), one];
}

function onPage(store: Store, change: (page: PageState) => Partial<PageState>): Store {
  return store.page ? { ...store, page: { ...store.page, ...change(store.page) } } : store;
}

export const isReply = (message: Message) => message.thread_ts !== null && message.thread_ts !== message.ts;

/** Puts a message into every fetched list that shows it; `onlyReplace`: only where it is already. */
function withMessage(store: Store, message: Message, onlyReplace = false): Store {
  const put = (list: Message[]) =>
    list.some((one) => one.ts === message.ts)
      ? list.map((one) => (one.ts === message.ts ? message : one))
      : onlyReplace
        ? list
        : [...list, message].sort((a, b) => (a.ts < b.ts ? -1 : 1));
  return onLists(store, message.channel, put, {
    inChannel: !isReply(message) || message.broadcast,
    thread: message.thread_ts ?? message.ts,
  });
}

function onLists(
  store: Store,
  channel: string,
  change: (list: Message[]) => Message[],
  where?: { inChannel: boolean; thread: string },
): Store {
  const messages = { ...store.messages };
  const replies = { ...store.replies };
  const list = messages[channel];
  if (list && where?.inChannel !== false) messages[channel] = change(list);
  for (const [key, thread] of Object.entries(replies)) {
    const fits = where ? key === threadKey(channel, where.thread) : key.startsWith(`${channel}/`);
    if (fits) replies[key] = change(thread);
  }
  return { ...store, messages, replies };
}

function withLatest(store: Store, message: Message): Store {
  if (isReply(message) && !message.broadcast) return store;
  return onPage(store, (page) => ({
    channels: page.channels.map((channel) =>
      channel.id === message.channel ? { ...channel, latest: message.ts } : channel,
    ),
  }));
}

function counted(store: Store, message: Message, isNew: boolean): Store {
  if (!isNew || !store.page || !mentions(message, store.page)) return store;
  const count = (store.mentions[message.channel] ?? 0) + 1;
  return { ...store, mentions: { ...store.mentions, [message.channel]: count } };
}

function mentions(message: Message, page: PageState): boolean {
  if (message.user === page.user) return false;
  const said = message.text + JSON.stringify(message.blocks);
  const groups = page.user_groups.filter((group) => group.users.includes(page.user));
  return (
    page.channels.some((channel) => channel.id === message.channel && channel.is_im) ||
    [page.user, ...groups.map((group) => group.id)].some((id) => said.includes(id)) ||
    /<!(?:here|channel|everyone)>/.test(message.text)
  );
}

/** Notes of the page's own (see `useWorkspace`) are not the server's: a fetch keeps them. */
export const NOTE_AUTHOR = "NOTE";

function withNotes(fetched: Message[], before: Message[] | undefined): Message[] {
  const notes = (before ?? []).filter((message) => message.user === NOTE_AUTHOR);
  return [...fetched, ...notes].sort((a, b) => (a.ts < b.ts ? -1 : 1));
}
