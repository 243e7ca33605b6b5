/** A floating box beside its anchor: above or below, wherever there is room. */

import { type ReactNode, type RefObject, useEffect, useLayoutEffect, useRef, useState } from "react";

interface Props {
  anchor: RefObject<HTMLElement | null>;
  onClose: () => void;
  align?: "start" | "end";
  className?: string;
  /** At least as wide as the anchor. */
  fit?: boolean;
  children: ReactNode;
}

const GAP = 4;
const EDGE = 8;

export function Popover({ anchor, onClose, align = "start", className = "", fit = false, children }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [place, setPlace] = useState<{ left: number; top: number; minWidth?: number } | null>(null);

  useLayoutEffect(() => {
    const put = () => {
      if (!anchor.current || !box.current) return;
      const at = anchor.current.getBoundingClientRect();
      const { offsetWidth: width, offsetHeight: height } = box.current;
      const below = at.bottom + GAP;
      const above = at.top - GAP - height;
      const top = below + height <= innerHeight - EDGE || above < EDGE ? below : above;
      const left = align === "start" ? at.left : at.right - width;
      setPlace({
        left: Math.max(EDGE, Math.min(left, innerWidth - width - EDGE)),
        top: Math.max(EDGE, Math.min(top, innerHeight - height - EDGE)),
        ...(fit ? { minWidth: at.width } : {}),
      });
    };
    put();
    const watch = new ResizeObserver(put);
    if (box.current) watch.observe(box.current);
    addEventListener("resize", put);
    addEventListener("scroll", put, true);
    return () => {
      watch.disconnect();
      removeEventListener("resize", put);
      removeEventListener("scroll", put, true);
    };
  }, [anchor, align, fit]);

  useEffect(() => {
    const outside = (event: PointerEvent) => {
      const target = event.target as Node;
      if (!box.current?.contains(target) && !anchor.current?.contains(target)) onClose();
    };
    const escape = (event: KeyboardEvent) => {
      if (event.key !== "Escape") return;
      event.preventDefault(); // or the dialog below would close too
      event.stopPropagation();
      onClose();
      anchor.current?.focus();
    };
    addEventListener("pointerdown", outside, true);
    addEventListener("keydown", escape, true);
    return () => {
      removeEventListener("pointerdown", outside, true);
      removeEventListener("keydown", escape, true);
    };
  }, [anchor, onClose]);

  return (
    <div ref={box} className={`popover ${className}`} style={place ?? { left: 0, top: 0, opacity: 0 }}>
      {children}
    </div>
  );
}
