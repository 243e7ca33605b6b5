/** Alerts, cards, carousels and containers. */

import { AlertTriangle, CheckCircle2, CircleAlert, Info } from "lucide-react";

import { Element } from "../controls/Element";
import type { Json } from "../model/protocol";
import { Blocks } from "./Blocks";
import { PictureLink } from "./Sections";
import { TextObject } from "./Text";

const ALERT_ICONS: Record<string, typeof Info> = { warning: AlertTriangle, error: CircleAlert, success: CheckCircle2 };

export function Alert({ block }: { block: Json }) {
  const level = String(block["level"] ?? "default");
  const Icon = ALERT_ICONS[level] ?? Info;
  return (
    <div className={`block-alert ${level}`} role={level === "error" ? "alert" : "status"}>
      <Icon size={18} aria-hidden />
      <TextObject text={block["text"] as Json} />
    </div>
  );
}

export function Card({ block }: { block: Json }) {
  const actions = [block["actions"] ?? []].flat() as Json[];
  return (
    <div className="block-card">
      {block["hero_image"] && <PictureLink image={block["hero_image"] as Json} />}
      {["title", "subtitle", "body", "subtext"].map(
        (part) =>
          block[part] && (
            <div key={part} className={`card-${part}`}>
              <TextObject text={block[part] as Json} />
            </div>
          ),
      )}
      {actions.length > 0 && (
        <div className="block-actions">
          {actions.map((element, index) => (
            <Element key={index} blockId={block["block_id"] as string} element={element} dispatches />
          ))}
        </div>
      )}
    </div>
  );
}

export function Carousel({ block }: { block: Json }) {
  return (
    <div className="block-carousel" tabIndex={0} role="group" aria-label="Cards">
      {(block["elements"] as Json[]).map((card, index) => (
        <Card key={index} block={{ block_id: block["block_id"], ...card }} />
      ))}
    </div>
  );
}

export function Container({ block }: { block: Json }) {
  const title = (
    <>
      {block["title"] && <TextObject text={block["title"] as Json} />}
      {block["rich_text_title"] && <Blocks blocks={[block["rich_text_title"] as Json]} />}
      {block["subtitle"] && (
        <div className="card-subtitle">
          <TextObject text={block["subtitle"] as Json} />
        </div>
      )}
    </>
  );
  const children = <Blocks blocks={(block["child_blocks"] ?? []) as Json[]} />;
  if (block["is_collapsible"] !== true) {
    return (
      <div className="block-container">
        <div className="card-title">{title}</div>
        {children}
      </div>
    );
  }
  return (
    <details className="block-container" open={block["default_collapsed"] !== true}>
      <summary className="card-title">{title}</summary>
      {children}
    </details>
  );
}
