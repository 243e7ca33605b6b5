/** How times, names and people's colours are written. */

import { get as emojiByName } from "node-emoji";

const date = (ts: string) => new Date(Number(ts) * 1000);

export const clock = (ts: string) => date(ts).toLocaleTimeString(undefined, { hour: "numeric", minute: "2-digit" });

export const fullTime = (ts: string) => date(ts).toLocaleString(undefined, { dateStyle: "full", timeStyle: "medium" });

export const dayKey = (ts: string) => date(ts).toDateString();

export function day(ts: string): string {
  const then = date(ts);
  const now = new Date();
  const days = Math.round((startOfDay(now) - startOfDay(then)) / 86_400_000);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return then.toLocaleDateString(undefined, {
    weekday: "long",
    month: "long",
    day: "numeric",
    ...(then.getFullYear() === now.getFullYear() ? {} : { year: "numeric" }),
  });
}

const startOfDay = (when: Date) => new Date(when.getFullYear(), when.getMonth(), when.getDate()).getTime();

/** "today at 10:32", "Yesterday at …", for the line under a thread's parent. */
export const lastReply = (ts: string) => `${day(ts).replace("Today", "today")} at ${clock(ts)}`;

export const plural = (count: number, noun: string, nouns = `${noun}s`) => `${count} ${count === 1 ? noun : nouns}`;

export function initials(name: string): string {
  const words = name.split(/[\s._-]+/).filter(Boolean);
  return ((words[0]?.[0] ?? "?") + (words[1]?.[0] ?? "")).toUpperCase();
}

/** The emoji of a Slack name such as `white_check_mark` or `wave::skin-tone-2`. */
export function emoji(name: string): string | undefined {
  const base = name.split("::")[0] ?? name;
  return SLACK_NAMES[base] ?? emojiByName(base);
}

/** Names that Slack knows and node-emoji does not. */
const SLACK_NAMES: Record<string, string> = {
  black_right_pointing_triangle: "▶️",
  black_square_for_stop: "⏹️",
  book: "📖",
  double_vertical_bar: "⏸️",
  envelope: "✉️",
  large_green_circle: "🟢",
  large_green_square: "🟩",
  large_orange_circle: "🟠",
  large_purple_circle: "🟣",
  large_red_square: "🟥",
  large_yellow_circle: "🟡",
  lower_left_ballpoint_pen: "🖊️",
  octagonal_sign: "🛑",
  pencil: "📝",
  robot_face: "🤖",
  satellite_antenna: "📡",
  simple_smile: "🙂",
  spiral_calendar_pad: "🗓️",
  thinking_face: "🤔",
  thumbsdown: "👎",
  thumbsup: "👍",
};

/** Replaces `:shortcodes:` of known emoji. */
export const emojify = (text: string) =>
  text.replace(/:([a-z0-9_+'-]+(?:::skin-tone-[2-6])?):/g, (whole, name: string) => emoji(name) ?? whole);

export const fileSize = (bytes: number) =>
  bytes < 1024
    ? `${bytes} B`
    : bytes < 1024 ** 2
      ? `${Math.round(bytes / 1024)} kB`
      : `${(bytes / 1024 ** 2).toFixed(1)} MB`;
