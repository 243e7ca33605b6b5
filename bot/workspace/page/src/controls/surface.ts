/**
 * The surface on which an element stands (a message, a modal, the home tab): it keeps the inputs'
 * state in Slack's shape and sends what was pressed.
 */

import { createContext, useContext, useMemo, useState } from "react";

import type { Json, OptionList, Values } from "../model/protocol";

export interface Surface {
  /** Names this surface in DOM ids. */
  id: string;
  /** In input blocks nothing is sent until the modal is submitted. */
  values: Values;
  errors: Record<string, string>;
  set: (blockId: string, element: Json, value: unknown) => void;
  act: (blockId: string, element: Json, payload: Json) => void;
  options: (blockId: string, element: Json, query: string) => Promise<OptionList | null>;
}

export const SurfaceContext = createContext<Surface | null>(null);

export function useSurface(): Surface {
  const surface = useContext(SurfaceContext);
  if (!surface) throw new Error("an interactive element stands outside of a surface");
  return surface;
}

/** The field of an action and of the state that holds an element's value, by the element's type. */
const FIELD: Record<string, string> = {
  plain_text_input: "value",
  email_text_input: "value",
  url_text_input: "value",
  number_input: "value",
  rich_text_input: "rich_text_value",
  static_select: "selected_option",
  external_select: "selected_option",
  radio_buttons: "selected_option",
  overflow: "selected_option",
  checkboxes: "selected_options",
  multi_static_select: "selected_options",
  multi_external_select: "selected_options",
  users_select: "selected_user",
  multi_users_select: "selected_users",
  channels_select: "selected_channel",
  multi_channels_select: "selected_channels",
  conversations_select: "selected_conversation",
  multi_conversations_select: "selected_conversations",
  datepicker: "selected_date",
  timepicker: "selected_time",
  datetimepicker: "selected_date_time",
};

export const fieldOf = (element: Json): string | undefined => FIELD[element["type"] as string];

const initialOf = (element: Json): unknown => {
  const field = fieldOf(element) ?? "";
  const initial = element[field.endsWith("value") ? "initial_value" : field.replace("selected_", "initial_")];
  return initial ?? (field.endsWith("s") ? [] : null);
};

/** An element's value in the state of `values`, or what it started with. */
export function valueOf(values: Values, blockId: string, element: Json): unknown {
  const field = fieldOf(element) ?? "";
  return values[blockId]?.[element["action_id"] as string]?.[field];
}

const elementsOf = (block: Json): Json[] =>
  [block["element"], block["accessory"], ...((block["elements"] as Json[] | undefined) ?? [])].filter(
    (element): element is Json => typeof element === "object" && element !== null,
  );

/** The state that a surface starts with: every input element with its initial value. */
export function initialValues(blocks: Json[]): Values {
  const values: Values = {};
  for (const block of blocks) {
    if (block["type"] === "container") {
      Object.assign(values, initialValues((block["child_blocks"] as Json[] | undefined) ?? []));
    }
    for (const element of elementsOf(block)) {
      const field = fieldOf(element);
      const blockId = block["block_id"] as string | undefined;
      if (!field || !blockId || element["type"] === "overflow") continue;
      values[blockId] = {
        ...values[blockId],
        [element["action_id"] as string]: { type: element["type"], [field]: initialOf(element) },
      };
    }
  }
  return values;
}

/** The state of a surface; what was typed stays while its block_id and action_id stay. */
export function useValues(blocks: Json[]) {
  const [typed, setTyped] = useState<Values>({});
  const values = useMemo(() => {
    const merged = initialValues(blocks);
    for (const [blockId, actions] of Object.entries(merged)) {
      for (const actionId of Object.keys(actions)) {
        const kept = typed[blockId]?.[actionId];
        if (kept && kept["type"] === actions[actionId]?.["type"]) actions[actionId] = kept;
      }
    }
    return merged;
  }, [blocks, typed]);
  return { values, setTyped };
}

export function withValue(values: Values, blockId: string, element: Json, value: unknown): Values {
  const field = fieldOf(element) ?? "value";
  return {
    ...values,
    [blockId]: {
      ...values[blockId],
      [element["action_id"] as string]: { type: element["type"], [field]: value },
    },
  };
}
