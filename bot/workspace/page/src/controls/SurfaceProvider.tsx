/** Makes the blocks inside it operable. */

import { type ReactNode, useMemo } from "react";

import type { Json } from "../model/protocol";
import { useDirectory } from "../view/context";
import { useConfirm } from "./confirm";
import { fieldOf, type Surface, SurfaceContext, useValues, withValue } from "./surface";

interface Props {
  /** `{ channel, message_ts }` or `{ view_id }`, as the API wants it. */
  where: Json;
  thread?: string | null;
  blocks: Json[];
  errors?: Record<string, string>;
  /** Hears the state after each change; a modal submits it. */
  state?: ReturnType<typeof useValues>;
  children: ReactNode;
}

const NO_ERRORS: Record<string, string> = {};

export function SurfaceProvider({ where, thread = null, blocks, errors = NO_ERRORS, state, children }: Props) {
  const { send } = useDirectory();
  const confirm = useConfirm();
  const own = useValues(blocks);
  const { values, setTyped } = state ?? own;
  const place = JSON.stringify(where);

  const surface = useMemo((): Surface => {
    const target = JSON.parse(place) as Json;
    return {
      id: String(target["view_id"] ?? target["message_ts"]),
      values,
      errors,
      set: (blockId, element, value) => setTyped((typed) => withValue(typed, blockId, element, value)),
      act: async (blockId, element, payload) => {
        if (element["confirm"] && !(await confirm(element["confirm"] as Json))) return;
        const { type, action_id } = element;
        const field = fieldOf(element);
        const now = field && type !== "overflow" ? withValue(values, blockId, element, payload[field]) : values;
        const state = { values: now };
        await send.action({ ...target, block_id: blockId, action_id, type, ...payload, state }, thread);
      },
      options: (blockId, element, query) =>
        send.options({ ...target, block_id: blockId, action_id: element["action_id"], value: query }),
    };
  }, [place, thread, values, errors, setTyped, confirm, send]);

  return <SurfaceContext value={surface}>{children}</SurfaceContext>;
}
