/** Buttons: plain, with a link, feedback thumbs, icon, overflow menu. */

import { MoreHorizontal, ThumbsDown, ThumbsUp, Trash2, Zap } from "lucide-react";
import { useState } from "react";

import { PlainText } from "../blocks/Text";
import { isSafeLink } from "../model/mrkdwn";
import type { Json } from "../model/protocol";
import { Menu } from "../view/Menu";
import type { ElementProps } from "./Element";
import { useSurface } from "./surface";

const openLink = (url: unknown) => {
  if (typeof url === "string" && isSafeLink(url)) window.open(url, "_blank", "noopener,noreferrer");
};

export function ButtonElement({ blockId, element }: ElementProps) {
  const { act } = useSurface();
  const press = () => {
    openLink(element["url"]);
    act(blockId, element, {});
  };
  return (
    <button
      type="button"
      className={`button ${element["style"] ?? ""}`}
      aria-label={element["accessibility_label"] as string | undefined}
      data-testid={`action-${element["action_id"]}`}
      onClick={press}
    >
      <PlainText text={element["text"]?.text ?? ""} />
    </button>
  );
}

export function FeedbackElement({ blockId, element }: ElementProps) {
  const { act } = useSurface();
  const [chosen, setChosen] = useState<string | null>(null);
  const thumb = (which: "positive_button" | "negative_button") => {
    const button = element[which] as Json | undefined;
    if (!button) return null;
    const label = (button["accessibility_label"] ?? button["text"]?.text) as string;
    const Icon = which === "positive_button" ? ThumbsUp : ThumbsDown;
    return (
      <button
        type="button"
        className="icon-button"
        aria-label={label}
        title={button["text"]?.text as string}
        aria-pressed={chosen === which}
        data-testid={`action-${element["action_id"]}-${which === "positive_button" ? "positive" : "negative"}`}
        onClick={() => {
          setChosen(which);
          act(blockId, element, { value: button["value"] });
        }}
      >
        <Icon size={16} aria-hidden />
      </button>
    );
  };
  return (
    <span className="feedback" role="group" aria-label="Feedback">
      {thumb("positive_button")}
      {thumb("negative_button")}
    </span>
  );
}

export function IconElement({ blockId, element }: ElementProps) {
  const { act } = useSurface();
  const label = (element["accessibility_label"] ?? element["text"]?.text) as string;
  const Icon = element["icon"] === "trash" ? Trash2 : Zap;
  return (
    <button
      type="button"
      className="icon-button"
      aria-label={label}
      title={element["text"]?.text as string}
      data-testid={`action-${element["action_id"]}`}
      onClick={() => act(blockId, element, {})}
    >
      <Icon size={16} aria-hidden />
    </button>
  );
}

export function OverflowElement({ blockId, element }: ElementProps) {
  const { act } = useSurface();
  const options = (element["options"] ?? []) as Json[];
  return (
    <Menu
      label="More options"
      className="button overflow"
      testId={`action-${element["action_id"]}`}
      items={options.map((option) => ({
        key: option["value"] as string,
        label: <PlainText text={option["text"]?.text ?? ""} />,
        testId: `option-${option["value"]}`,
        choose: () => {
          openLink(option["url"]);
          act(blockId, element, { selected_option: option });
        },
      }))}
    >
      <MoreHorizontal size={16} aria-hidden />
    </Menu>
  );
}
