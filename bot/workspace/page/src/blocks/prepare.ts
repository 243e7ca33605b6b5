/** Blocks made ready for the library: what it draws wrongly or would fetch from elsewhere. */

import { plainRichText } from "../model/mrkdwn";
import type { Json } from "../model/protocol";

export type NameOf = Record<"user" | "channel" | "group", (id: string) => string>;

export function prepare(block: Json, nameOf: NameOf): Json {
  switch (block["type"]) {
    case "markdown":
      return { ...block, text: markdown(String(block["text"] ?? ""), nameOf) };
    case "table":
    case "data_table":
      return { ...block, type: "table", rows: (block["rows"] as Json[][]).map((row) => row.map(cell)) };
    case "plan":
      return { ...block, title: plainTitle(block["title"]), tasks: ((block["tasks"] ?? []) as Json[]).map(task) };
    case "task_card":
      return task(block);
    default:
      return block;
  }
}

const plainTitle = (title: unknown) => (typeof title === "object" ? String((title as Json)?.["text"] ?? "") : title);

const task = (one: Json): Json => ({ ...one, type: "task_card", title: plainTitle(one["title"]) });

/** The library reads the text of a cell as mrkdwn; it is plain. */
const cell = (one: Json): Json =>
  one["type"] === "raw_text" || one["type"] === "raw_number"
    ? plainRichText(String(one["text"] ?? one["value"] ?? ""))
    : one;

/**
 * Slack resolves mentions in Markdown too, so the page must show them as alive. Images would be
 * fetched from elsewhere: they become links. Task lists would get boxes that can be ticked, to no
 * effect. Code stays as it is.
 */
function markdown(text: string, nameOf: NameOf): string {
  return text
    .split(/(```[\s\S]*?(?:```|$)|`[^`\n]*`)/)
    .map((part, index) => (index % 2 === 1 ? part : resolved(part, nameOf)))
    .join("");
}

const resolved = (text: string, nameOf: NameOf) =>
  text
    .replace(/<@([UW][A-Z0-9]+)(?:\|[^>]*)?>/g, (_, id: string) => `**@${nameOf.user(id)}**`)
    .replace(/<#([CDG][A-Z0-9]+)(?:\|[^>]*)?>/g, (_, id: string) => `**#${nameOf.channel(id)}**`)
    .replace(/<!subteam\^([A-Z0-9]+)(?:\|[^>]*)?>/g, (_, id: string) => `**@${nameOf.group(id)}**`)
    .replace(/<!(here|channel|everyone)(?:\|[^>]*)?>/g, "**@$1**")
    .replace(/^(\s*[-*+] )\[([ xX])\] /gm, (_, bullet: string, done: string) => `${bullet}${done === " " ? "☐" : "☑"} `)
    .replace(/!\[([^\]]*)\]\((https?:[^)\s]+)[^)]*\)/g, "[picture: $1]($2)");
