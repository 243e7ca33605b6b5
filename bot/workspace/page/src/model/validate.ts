/** What Slack's client checks before it submits a modal. */

import { initialValues, valueOf } from "../controls/surface";
import type { Json, Values } from "./protocol";

/** block_id -> what is wrong, for the inputs that cannot be submitted as they are. */
export function problems(blocks: Json[], values: Values): Record<string, string> {
  const found: Record<string, string> = {};
  const known = initialValues(blocks);
  for (const block of blocks) {
    const blockId = block["block_id"] as string;
    if (block["type"] !== "input" || !(blockId in known)) continue;
    const problem = check(block, valueOf(values, blockId, block["element"] as Json));
    if (problem) found[blockId] = problem;
  }
  return found;
}

function check(block: Json, value: unknown): string | null {
  const element = block["element"] as Json;
  const empty = value === null || value === undefined || value === "" || (Array.isArray(value) && value.length === 0);
  if (empty) return block["optional"] === true ? null : "Please complete this required field.";
  if (typeof value !== "string") return null;
  const { type, min_length: least, max_length: most, min_value: low, max_value: high } = element;
  if (least !== undefined && value.length < least) return `Please enter at least ${least} characters.`;
  if (most !== undefined && value.length > most) return `Please enter at most ${most} characters.`;
  if (type === "email_text_input" && !/^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(value))
    return "Please enter a valid email address.";
  if (type === "url_text_input" && !URL.canParse(value)) return "Please enter a valid URL.";
  if (type === "number_input") {
    const number = Number(value);
    if (Number.isNaN(number)) return "Please enter a number.";
    if (element["is_decimal_allowed"] !== true && !Number.isInteger(number)) return "Please enter a whole number.";
    if (low !== undefined && number < Number(low)) return `Please enter ${low} or more.`;
    if (high !== undefined && number > Number(high)) return `Please enter ${high} or less.`;
  }
  return null;
}
