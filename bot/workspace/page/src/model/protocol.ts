/** The records of the page's JSON API, as in `bot/workspace/page_records.py` and `protocol.py`. */

/** A JSON object in Slack's own shape; what we read of it is narrowed where it is used. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- Block Kit is open-ended
export type Json = Record<string, any>;

export interface Team {
  id: string;
  name: string;
  domain: string;
}

export interface User {
  id: string;
  name: string;
  real_name: string;
  title: string;
  is_bot: boolean;
}

export interface UserGroup {
  id: string;
  handle: string;
  name: string;
  users: string[];
}

export interface Channel {
  id: string;
  name: string;
  is_im: boolean;
  user: string | null;
  topic: string;
  members: string[];
  latest: string | null;
}

export interface SlashCommand {
  command: string;
  description: string;
  usage_hint: string;
}

export interface Shortcut {
  callback_id: string;
  name: string;
  description: string;
  type: "global" | "message";
}

export interface ThreadStatus {
  channel: string;
  thread_ts: string;
  status: string;
  loading_messages: string[];
  session: "processing" | "active" | "suspended" | "closed" | null;
  title: string;
  stoppable: boolean;
}

export interface Prompt {
  title: string;
  message: string;
}

export interface SuggestedPrompts {
  channel: string;
  thread_ts: string | null;
  title: string;
  prompts: Prompt[];
}

export interface Reaction {
  name: string;
  count: number;
  users: string[];
}

export interface FileRecord {
  id: string;
  name: string;
  title: string;
  mimetype: string;
  size: number;
  url: string;
  alt_txt: string;
}

export interface Message {
  channel: string;
  ts: string;
  user: string;
  text: string;
  username: string | null;
  icon_emoji: string | null;
  bot_id: string | null;
  blocks: Json[];
  attachments: Json[];
  thread_ts: string | null;
  reply_count: number;
  reply_users: string[];
  latest_reply: string | null;
  broadcast: boolean;
  reactions: Reaction[];
  files: FileRecord[];
  streaming: boolean;
  ephemeral: boolean;
  edited_ts: string | null;
}

export interface PageState {
  team: Team;
  user: string;
  bot_user_id: string;
  users: User[];
  channels: Channel[];
  user_groups: UserGroup[];
  commands: SlashCommand[];
  shortcuts: Shortcut[];
  statuses: ThreadStatus[];
  prompts: SuggestedPrompts[];
  views: Json[];
  bot_connected: boolean;
}

export interface Answer {
  ok: boolean;
  error: string | null;
  message: string | null;
}

export interface Submitted extends Answer {
  response_action: "errors" | "update" | "push" | "clear" | null;
  errors: Record<string, string>;
}

export interface OptionList extends Answer {
  options: Json[];
  option_groups: Json[];
}

export type Values = Record<string, Record<string, Json>>;

export type LiveEvent =
  | { type: "hello"; user: string }
  | { type: "message"; message: Message }
  | { type: "message_changed"; message: Message }
  | { type: "message_deleted"; channel: string; ts: string; thread_ts: string | null }
  | { type: "ephemeral"; message: Message }
  | { type: "view_opened"; view: Json }
  | { type: "view_updated"; view: Json }
  | { type: "view_closed"; view_id: string }
  | { type: "view_errors"; view_id: string; errors: Record<string, string> }
  | { type: "home_published"; view: Json }
  | { type: "status"; status: ThreadStatus }
  | { type: "suggested_prompts"; prompts: SuggestedPrompts }
  | { type: "channel"; channel: Channel }
  | { type: "bot_connection"; connected: boolean }
  | { type: "delivery_failed"; what: string; why: string; message: string; channel: string | null };
