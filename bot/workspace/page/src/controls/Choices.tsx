/** Radio buttons and checkboxes. */

import { TextObject } from "../blocks/Text";
import type { Json } from "../model/protocol";
import type { ElementProps } from "./Element";
import { fieldOf, useSurface, valueOf } from "./surface";

export function ChoicesElement({ blockId, element, dispatches, label }: ElementProps) {
  const { id, values, set, act } = useSurface();
  const several = element["type"] === "checkboxes";
  const field = fieldOf(element) as string;
  const value = valueOf(values, blockId, element);
  const chosen = (several ? value : [value].filter(Boolean)) as Json[];
  const isChosen = (option: Json) => chosen.some((one) => one["value"] === option["value"]);
  const options = (element["options"] ?? []) as Json[];

  const choose = (option: Json) => {
    const kept = options.filter((one) => (one === option ? !isChosen(one) : isChosen(one)));
    const next = several ? kept : option;
    set(blockId, element, next);
    if (dispatches) act(blockId, element, { [field]: next });
  };

  return (
    <div role={several ? "group" : "radiogroup"} aria-label={label ?? "Options"} className="choices">
      {options.map((option) => (
        <label key={option["value"]} className="choice" data-testid={`option-${option["value"]}`}>
          <input
            type={several ? "checkbox" : "radio"}
            name={`${id}-${blockId}-${element["action_id"]}`}
            checked={isChosen(option)}
            onChange={() => choose(option)}
          />
          <span>
            <TextObject text={option["text"] as Json} />
            {option["description"] && (
              <span className="choice-description">
                <TextObject text={option["description"] as Json} />
              </span>
            )}
          </span>
        </label>
      ))}
    </div>
  );
}
