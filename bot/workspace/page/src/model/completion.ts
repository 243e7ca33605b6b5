/** What the composer offers while one types `/…`, `@…`, `#…` or `:…`. Pure. */

import { search } from "node-emoji";

import { emoji } from "./format";
import type { PageState } from "./protocol";

export interface Suggestion {
  key: string;
  kind: "command" | "user" | "group" | "channel" | "emoji" | "broadcast";
  /** What replaces the typed word. */
  insert: string;
  label: string;
  detail: string;
}

export interface Completion {
  /** Where the word being typed starts and ends. */
  from: number;
  to: number;
  suggestions: Suggestion[];
}

const MOST = 8;
const BROADCASTS = [
  ["here", "Notify everyone who is here"],
  ["channel", "Notify everyone in this channel"],
] as const;

export function complete(text: string, caret: number, page: PageState): Completion | null {
  const before = text.slice(0, caret);
  const command = /^\/\S*$/.exec(before);
  if (command) return offer(0, caret, commands(command[0], page));
  const word = /(?:^|[\s(])([@#:])([\p{L}\d_.+'-]*)$/u.exec(before);
  if (!word) return null;
  const [, mark, typed = ""] = word;
  const from = caret - typed.length - 1;
  const wanted = typed.toLowerCase();
  if (mark === "@") return offer(from, caret, people(wanted, page));
  if (mark === "#") return offer(from, caret, channels(wanted, page));
  return wanted.length < 2 ? null : offer(from, caret, emojis(wanted));
}

const offer = (from: number, to: number, suggestions: Suggestion[]): Completion | null =>
  suggestions.length > 0 ? { from, to, suggestions: suggestions.slice(0, MOST) } : null;

const commands = (typed: string, page: PageState): Suggestion[] =>
  page.commands
    .filter(({ command }) => command.startsWith(typed))
    .map(({ command, description, usage_hint: hint }) => ({
      key: command,
      kind: "command",
      insert: `${command} `,
      label: hint ? `${command} ${hint}` : command,
      detail: description,
    }));

function people(wanted: string, page: PageState): Suggestion[] {
  const fits = (...names: string[]) =>
    names.some((name) =>
      name
        .toLowerCase()
        .split(/\s+/)
        .some((part) => part.startsWith(wanted)),
    );
  const users = page.users.filter((user) => fits(user.name, user.real_name));
  const groups = page.user_groups.filter((group) => fits(group.handle, group.name));
  return [
    ...users
      .toSorted((a, b) => Number(b.is_bot) - Number(a.is_bot))
      .map((user): Suggestion => ({
        key: user.id,
        kind: "user",
        insert: `@${user.name} `,
        label: user.real_name,
        detail: user.is_bot ? `@${user.name} · App` : `@${user.name}${user.title ? ` · ${user.title}` : ""}`,
      })),
    ...groups.map((group): Suggestion => ({
      key: group.id,
      kind: "group",
      insert: `@${group.handle} `,
      label: `@${group.handle}`,
      detail: `${group.name} · ${group.users.length} people`,
    })),
    ...BROADCASTS.filter(([name]) => name.startsWith(wanted)).map(([name, detail]): Suggestion => ({
      key: name,
      kind: "broadcast",
      insert: `@${name} `,
      label: `@${name}`,
      detail,
    })),
  ];
}

const channels = (wanted: string, page: PageState): Suggestion[] =>
  page.channels
    .filter((channel) => !channel.is_im && channel.name.includes(wanted))
    .map((channel) => ({
      key: channel.id,
      kind: "channel",
      insert: `#${channel.name} `,
      label: `#${channel.name}`,
      detail: channel.topic,
    }));

const emojis = (wanted: string): Suggestion[] =>
  search(wanted.replace(/[^a-z0-9_+-]/g, ""))
    .filter(({ name }) => emoji(name))
    .toSorted((a, b) => Number(b.name.startsWith(wanted)) - Number(a.name.startsWith(wanted)))
    .map(({ name }) => ({
      key: name,
      kind: "emoji",
      insert: `:${name}: `,
      label: `${emoji(name)} :${name}:`,
      detail: "",
    }));

/** The hint of the command whose arguments are being typed. */
export function usageHint(text: string, page: PageState): string | null {
  const typed = /^(\/\S+)\s/.exec(text)?.[1];
  const command = page.commands.find((one) => one.command === typed);
  return command?.usage_hint ? `${command.command} ${command.usage_hint}` : null;
}
