/** Lets streamed Markdown grow smoothly instead of in the lumps in which it arrives. */

import { useEffect, useMemo, useState } from "react";

import type { Json } from "../model/protocol";

/** Each frame shows this part of what is still hidden. */
const PART = 1 / 14;

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export function useGrowing(blocks: Json[], streaming: boolean): Json[] {
  const last = blocks.findLastIndex((block) => block["type"] === "markdown");
  const text = last >= 0 ? String(blocks[last]?.["text"]) : "";
  const [shown, setShown] = useState(() => (streaming ? 0 : text.length));
  const behind = shown < text.length;

  useEffect(() => {
    if (!behind) return;
    if (calm()) {
      setShown(text.length);
      return;
    }
    const frame = requestAnimationFrame(() =>
      setShown((now) => now + Math.max(1, Math.ceil((text.length - now) * PART))),
    );
    return () => cancelAnimationFrame(frame);
  }, [behind, shown, text]);

  return useMemo(
    () =>
      behind
        ? blocks.map((block, index) => (index === last ? { ...block, text: text.slice(0, shown) } : block))
        : blocks,
    [behind, blocks, last, text, shown],
  );
}
