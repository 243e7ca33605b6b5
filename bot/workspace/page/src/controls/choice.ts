/** What the select elements offer, whatever their kind: options, people, channels. */

import type { Channel, Json, PageState } from "../model/protocol";

export interface Choice {
  key: string;
  label: string;
  description?: string;
  group?: string;
  /** What goes into the state: an option object, or an id. */
  value: unknown;
}

const fromOption = (option: Json, group?: string): Choice => ({
  key: String(option["value"]),
  label: String(option["text"]?.text ?? option["value"]),
  description: option["description"]?.text as string | undefined,
  group,
  value: option,
});

/** Choices out of `options` or `option_groups`, as an element or an options answer has them. */
export function choicesFrom(source: Json): Choice[] {
  const groups = (source["option_groups"] ?? []) as Json[];
  if (groups.length > 0) {
    return groups.flatMap((group) =>
      ((group["options"] ?? []) as Json[]).map((option) => fromOption(option, group["label"]?.text as string)),
    );
  }
  return ((source["options"] ?? []) as Json[]).map((option) => fromOption(option));
}

/** The choices of a select that needs no query, null for an external one. */
export function choicesOf(element: Json, page: PageState, title: (channel: Channel) => string): Choice[] | null {
  const type = (element["type"] as string).replace("multi_", "");
  if (type === "external_select") return null;
  if (type === "users_select") {
    return page.users.map((user) => ({
      key: user.id,
      label: user.real_name,
      description: `@${user.name}`,
      value: user.id,
    }));
  }
  if (type === "channels_select" || type === "conversations_select") {
    const only = (element["filter"]?.["include"] ?? ["public", "private", "im", "mpim"]) as string[];
    return page.channels
      .filter((channel) => (channel.is_im ? type === "conversations_select" && only.includes("im") : true))
      .map((channel) => ({ key: channel.id, label: title(channel), value: channel.id }));
  }
  return choicesFrom(element);
}

export const keyOf = (value: unknown): string =>
  typeof value === "object" && value !== null ? String((value as Json)["value"]) : String(value);

/** The label of a chosen value, also when it is not among the choices (an external option). */
export function labelOf(value: unknown, choices: Choice[]): string {
  const found = choices.find((choice) => choice.key === keyOf(value));
  const option = value as { text?: { text?: string } };
  return found?.label ?? option.text?.text ?? keyOf(value);
}
