/** A button that opens a small emoji search. */

import { search } from "node-emoji";
import { type ReactNode, useRef, useState } from "react";

import { emoji } from "../model/format";
import { Popover } from "./Popover";

interface Props {
  label: string;
  className: string;
  onPick: (name: string) => void;
  testId?: string;
  children: ReactNode;
}

const USUAL = [
  "+1",
  "-1",
  "white_check_mark",
  "x",
  "eyes",
  "raised_hands",
  "pray",
  "tada",
  "rocket",
  "fire",
  "rotating_light",
  "warning",
  "thinking_face",
  "sweat_smile",
  "joy",
  "heart",
  "100",
  "wave",
  "bulb",
  "hourglass_flowing_sand",
  "hammer_and_wrench",
  "lock",
  "unlock",
  "no_entry",
  "mag",
  "memo",
  "calendar",
  "clock3",
  "robot_face",
  "coffee",
];
const MOST = 60;

export function EmojiPicker({ label, className, onPick, testId, children }: Props) {
  const [open, setOpen] = useState(false);
  const [query, setQuery] = useState("");
  const button = useRef<HTMLButtonElement>(null);
  const close = useRef(() => setOpen(false)).current;
  const names = query ? search(query.toLowerCase().replace(/[^a-z0-9_+-]/g, "")).map(({ name }) => name) : USUAL;
  return (
    <>
      <button
        ref={button}
        type="button"
        className={className}
        aria-label={label}
        title={label}
        aria-expanded={open}
        data-testid={testId}
        onClick={() => setOpen(!open)}
      >
        {children}
      </button>
      {open && (
        <Popover anchor={button} onClose={close} align="end" className="emoji-picker">
          <input
            className="input"
            autoFocus
            placeholder="Search emoji"
            aria-label="Search emoji"
            value={query}
            onChange={(event) => setQuery(event.target.value)}
          />
          <div className="emoji-grid">
            {names
              .filter((name) => emoji(name))
              .slice(0, MOST)
              .map((name) => (
                <button
                  key={name}
                  type="button"
                  aria-label={name.replaceAll("_", " ")}
                  title={`:${name}:`}
                  data-testid={`emoji-${name}`}
                  onClick={() => {
                    close();
                    onPick(name);
                  }}
                >
                  {emoji(name)}
                </button>
              ))}
          </div>
        </Popover>
      )}
    </>
  );
}
