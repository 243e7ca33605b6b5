/** Slack's text objects. */

import { useMemo } from "react";

import { emojify } from "../model/format";
import { plainRichText, richText } from "../model/mrkdwn";
import type { Json } from "../model/protocol";
import { Drawn } from "./Drawn";

/** A `plain_text` where only a line fits: a button, a title, an option. */
export function PlainText({ text }: { text: string }) {
  return <>{emojify(text)}</>;
}

/** A `mrkdwn` or `plain_text` object. */
export function TextObject({ text }: { text: Json }) {
  const { type, text: said, verbatim } = text as { type: string; text: string; verbatim?: boolean };
  const block = useMemo(
    () => (type === "mrkdwn" ? richText(said, { verbatim: verbatim ?? false }) : plainRichText(said)),
    [type, said, verbatim],
  );
  return (
    <div className="text">
      <Drawn block={block} />
    </div>
  );
}
