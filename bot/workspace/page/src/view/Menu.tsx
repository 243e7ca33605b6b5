/** A button with a menu: arrow keys move, Enter chooses, Escape closes. */

import { type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from "react";

import { Popover } from "./Popover";

export interface MenuItem {
  key: string;
  label: ReactNode;
  /** Marks the current one of several. */
  checked?: boolean;
  testId?: string;
  choose: () => void;
}

interface Props {
  label: string;
  items: MenuItem[];
  children: ReactNode;
  /** The children are text: they name the button, and `label` is only its tooltip. */
  speaks?: boolean;
  className?: string;
  align?: "start" | "end";
  testId?: string;
  heading?: string;
}

export function Menu({
  label,
  items,
  children,
  speaks = false,
  className = "",
  align = "start",
  testId,
  heading,
}: Props) {
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const close = useRef(() => setOpen(false)).current;
  return (
    <>
      <button
        ref={button}
        type="button"
        className={className}
        aria-label={speaks ? undefined : label}
        title={label}
        aria-haspopup="menu"
        aria-expanded={open}
        data-testid={testId}
        onClick={() => setOpen(!open)}
      >
        {children}
      </button>
      {open && (
        <Popover anchor={button} onClose={close} align={align} className="menu">
          <MenuItems
            label={heading ?? label}
            showHeading={heading !== undefined}
            items={items}
            onChoose={(item) => {
              close();
              button.current?.focus();
              item.choose();
            }}
          />
        </Popover>
      )}
    </>
  );
}

interface ItemsProps {
  label: string;
  showHeading: boolean;
  items: MenuItem[];
  onChoose: (item: MenuItem) => void;
}

function MenuItems({ label, showHeading, items, onChoose }: ItemsProps) {
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const start =
      list.current?.querySelector<HTMLElement>("[aria-checked=true]") ?? list.current?.querySelector("button");
    start?.focus();
  }, []);

  const move = (event: KeyboardEvent) => {
    const all = [...(list.current?.querySelectorAll("button") ?? [])];
    const now = all.indexOf(document.activeElement as HTMLButtonElement);
    const next = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: all.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    all[(next + all.length) % all.length]?.focus();
  };

  return (
    <div ref={list} role="menu" aria-label={label} onKeyDown={move}>
      {showHeading && (
        <div className="menu-heading" aria-hidden>
          {label}
        </div>
      )}
      {items.map((item) => (
        <button
          key={item.key}
          type="button"
          className="menu-item"
          data-testid={item.testId}
          onClick={() => onChoose(item)}
          {...(item.checked === undefined
            ? { role: "menuitem" }
            : { role: "menuitemradio", "aria-checked": item.checked })}
        >
          {item.label}
        </button>
      ))}
    </div>
  );
}
