/** Text, number, e-mail, address, date and time inputs, on the browser's own. */

import type { KeyboardEvent } from "react";

import { plainRichText } from "../model/mrkdwn";
import type { Json } from "../model/protocol";
import type { ElementProps } from "./Element";
import { fieldOf, useSurface, valueOf } from "./surface";

const HTML_TYPE: Record<string, string> = {
  email_text_input: "email",
  url_text_input: "url",
  number_input: "number",
  datepicker: "date",
  timepicker: "time",
  datetimepicker: "datetime-local",
};

/** What the HTML input shows for a value, and the value for what it holds. */
const shown = (type: string, value: unknown): string => {
  if (value === null || value === undefined) return "";
  if (type === "datetimepicker") {
    const local = new Date(Number(value) * 1000);
    return new Date(local.getTime() - local.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
  }
  if (type === "rich_text_input") return textOf(value as Json);
  return String(value);
};

const textOf = (node: Json): string =>
  (node["text"] as string | undefined) ?? ((node["elements"] ?? []) as Json[]).map(textOf).join("");

const valueFrom = (type: string, typed: string): unknown => {
  if (typed === "") return null;
  if (type === "datetimepicker") return Math.round(new Date(typed).getTime() / 1000);
  if (type === "rich_text_input") return plainRichText(typed);
  return typed;
};

export function InputElement({ blockId, element, dispatches, label, inputId, describedBy }: ElementProps) {
  const { values, errors, set, act } = useSurface();
  const type = element["type"] as string;
  const field = fieldOf(element) as string;
  const value = valueOf(values, blockId, element);
  const isPicker = type.endsWith("picker");
  const triggers = (element["dispatch_action_config"]?.["trigger_actions_on"] ?? ["on_enter_pressed"]) as string[];

  const change = (typed: string) => {
    const next = valueFrom(type, typed);
    set(blockId, element, next);
    if (dispatches && (isPicker || triggers.includes("on_character_entered"))) {
      act(blockId, element, { [field]: next });
    }
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || isPicker || !dispatches || !triggers.includes("on_enter_pressed")) return;
    event.preventDefault();
    act(blockId, element, { [field]: value });
  };

  const shared = {
    id: inputId,
    className: "input",
    value: shown(type, value),
    placeholder: element["placeholder"]?.text as string | undefined,
    "aria-label": inputId ? undefined : (label ?? element["placeholder"]?.text ?? "Value"),
    "aria-describedby": describedBy,
    "aria-invalid": blockId in errors,
    "data-testid": `input-${element["action_id"]}`,
    autoFocus: element["focus_on_load"] === true,
    onKeyDown,
  };
  if (element["multiline"] === true || type === "rich_text_input") {
    return <textarea rows={4} {...shared} onChange={(event) => change(event.target.value)} />;
  }
  return (
    <input
      type={HTML_TYPE[type] ?? "text"}
      step={type === "number_input" && element["is_decimal_allowed"] ? "any" : undefined}
      {...shared}
      onChange={(event) => change(event.target.value)}
    />
  );
}
