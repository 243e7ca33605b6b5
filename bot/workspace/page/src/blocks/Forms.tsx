/** Actions, context-actions and input blocks. */

import { Element } from "../controls/Element";
import { useSurface } from "../controls/surface";
import type { Json } from "../model/protocol";
import { PlainText } from "./Text";

export function Actions({ block }: { block: Json }) {
  return (
    <div className={block["type"] === "actions" ? "block-actions" : "block-actions small"}>
      {(block["elements"] as Json[]).map((element, index) => (
        <Element
          key={(element["action_id"] as string | undefined) ?? index}
          blockId={block["block_id"] as string}
          element={element}
          dispatches
        />
      ))}
    </div>
  );
}

const GROUPED = ["checkboxes", "radio_buttons"];

export function Input({ block }: { block: Json }) {
  const { id, errors } = useSurface();
  const blockId = block["block_id"] as string;
  const element = block["element"] as Json;
  const label = String(block["label"]?.text ?? "");
  const inputId = `${id}-${blockId}`;
  const error = errors[blockId];
  const hint = block["hint"]?.text as string | undefined;
  const described = [error && `${inputId}-error`, hint && `${inputId}-hint`].filter(Boolean).join(" ") || undefined;
  const title = (
    <>
      <PlainText text={label} />
      {block["optional"] === true && <span className="optional"> (optional)</span>}
    </>
  );

  return (
    <div className={`block-input ${error ? "has-error" : ""}`} data-testid={`block-${blockId}`}>
      {GROUPED.includes(element["type"] as string) ? (
        <div className="label">{title}</div>
      ) : (
        <label className="label" htmlFor={inputId}>
          {title}
        </label>
      )}
      <Element
        blockId={blockId}
        element={element}
        dispatches={block["dispatch_action"] === true}
        label={label}
        inputId={inputId}
        describedBy={described}
      />
      {error && (
        <div id={`${inputId}-error`} className="error" role="alert" data-testid={`error-${blockId}`}>
          {error}
        </div>
      )}
      {hint && (
        <div id={`${inputId}-hint`} className="hint">
          <PlainText text={hint} />
        </div>
      )}
    </div>
  );
}
