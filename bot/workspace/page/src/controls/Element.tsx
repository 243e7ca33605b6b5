/** An interactive element, whatever its type. */

import type { Json } from "../model/protocol";
import { ButtonElement, FeedbackElement, IconElement, OverflowElement } from "./Buttons";
import { ChoicesElement } from "./Choices";
import { InputElement } from "./Inputs";
import { SelectElement } from "./Select";
import { fieldOf } from "./surface";

export interface ElementProps {
  blockId: string;
  element: Json;
  /** Tell the bot of each change; in input blocks only when the block says so. */
  dispatches: boolean;
  label?: string | undefined;
  /** The DOM id that a `<label>` points at. */
  inputId?: string | undefined;
  describedBy?: string | undefined;
}

const BUTTONS: Record<string, (props: ElementProps) => React.ReactNode> = {
  button: ButtonElement,
  workflow_button: ButtonElement,
  feedback_buttons: FeedbackElement,
  icon_button: IconElement,
  overflow: OverflowElement,
};

export const isInteractive = (element: Json) => element["type"] in BUTTONS || fieldOf(element) !== undefined;

export function Element(props: ElementProps) {
  const type = props.element["type"] as string;
  const Button = BUTTONS[type];
  if (Button) return <Button {...props} />;
  if (type === "radio_buttons" || type === "checkboxes") return <ChoicesElement {...props} />;
  if (type.endsWith("_select")) return <SelectElement {...props} />;
  if (fieldOf(props.element)) return <InputElement {...props} />;
  return <span className="unsupported">({type} cannot be shown here)</span>;
}
