/** Select menus, single and multi: a button that opens a searchable list. */

import { Check, ChevronDown, X } from "lucide-react";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";

import { PlainText } from "../blocks/Text";
import { useWorkspaceContext } from "../view/context";
import { Popover } from "../view/Popover";
import { type Choice, choicesFrom, choicesOf, keyOf, labelOf } from "./choice";
import type { ElementProps } from "./Element";
import { fieldOf, useSurface, valueOf } from "./surface";

const TYPING_PAUSE_MS = 200;

export function SelectElement({ blockId, element, dispatches, label, inputId, describedBy }: ElementProps) {
  const { id, values, errors, set, act } = useSurface();
  const { page, channelTitle } = useWorkspaceContext();
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const close = useRef(() => setOpen(false)).current;

  const several = (element["type"] as string).startsWith("multi_");
  const field = fieldOf(element) as string;
  const value = valueOf(values, blockId, element);
  const chosen = (several ? value : [value].filter((one) => one !== null && one !== undefined)) as unknown[];
  const choices = choicesOf(element, page, channelTitle);
  const placeholder = (element["placeholder"]?.text ?? "Choose an option") as string;
  const says = chosen.map((one) => labelOf(one, choices ?? [])).join(", ");

  const change = (next: unknown) => {
    set(blockId, element, next);
    if (dispatches) act(blockId, element, { [field]: next });
  };
  const choose = (choice: Choice) => {
    if (!several) {
      close();
      button.current?.focus();
      change(choice.value);
      return;
    }
    const kept = chosen.filter((one) => keyOf(one) !== choice.key);
    const most = (element["max_selected_items"] as number | undefined) ?? Number.POSITIVE_INFINITY;
    if (kept.length < chosen.length) change(kept);
    else if (chosen.length < most) change([...chosen, choice.value]);
  };

  return (
    <span className="select">
      <button
        ref={button}
        id={inputId}
        type="button"
        className={`input select-button ${says ? "" : "empty"}`}
        aria-haspopup="listbox"
        aria-expanded={open}
        aria-label={[label, says || placeholder].filter(Boolean).join(": ")}
        aria-describedby={describedBy}
        aria-invalid={blockId in errors}
        data-testid={`select-${element["action_id"]}`}
        onClick={() => setOpen(!open)}
      >
        <span className="select-text">
          <PlainText text={says || placeholder} />
        </span>
        <ChevronDown size={14} aria-hidden />
      </button>
      {several && chosen.length > 0 && (
        <button type="button" className="select-clear" aria-label="Clear the choice" onClick={() => change([])}>
          <X size={12} aria-hidden />
        </button>
      )}
      {open && (
        <Popover anchor={button} onClose={close} className="menu" fit>
          <Choices
            listId={`${id}-${blockId}-list`}
            blockId={blockId}
            element={element}
            fixed={choices}
            chosen={chosen.map(keyOf)}
            several={several}
            choose={choose}
          />
        </Popover>
      )}
    </span>
  );
}

interface ChoicesProps {
  listId: string;
  blockId: string;
  element: ElementProps["element"];
  /** The choices, or null: the bot is asked for them as one types. */
  fixed: Choice[] | null;
  chosen: string[];
  several: boolean;
  choose: (choice: Choice) => void;
}

function Choices({ listId, blockId, element, fixed, chosen, several, choose }: ChoicesProps) {
  const { options } = useSurface();
  const [query, setQuery] = useState("");
  const [active, setActive] = useState(0);
  const [found, setFound] = useState<Choice[] | null>(null);
  const least = (element["min_query_length"] as number | undefined) ?? 3;
  const external = fixed === null;
  const latest = useRef({ options, element });
  latest.current = { options, element };

  useEffect(() => {
    if (!external) return;
    setFound(null);
    if (query.length < least) return;
    let current = true;
    const timer = setTimeout(async () => {
      const answer = await latest.current.options(blockId, latest.current.element, query);
      if (current) setFound(answer ? choicesFrom(answer) : []);
    }, TYPING_PAUSE_MS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [external, query, least, blockId]);

  const wanted = query.trim().toLowerCase();
  const shown =
    fixed?.filter((choice) => `${choice.label} ${choice.description ?? ""}`.toLowerCase().includes(wanted)) ??
    found ??
    [];
  const status =
    external && query.length < least
      ? `Type ${least - query.length} more ${least - query.length === 1 ? "letter" : "letters"}`
      : external && found === null
        ? "Searching…"
        : shown.length === 0
          ? "No matches"
          : null;

  const onKeyDown = (event: KeyboardEvent) => {
    const next = { ArrowDown: active + 1, ArrowUp: active - 1 }[event.key];
    if (next !== undefined && shown.length > 0) {
      event.preventDefault();
      setActive((next + shown.length) % shown.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      const choice = shown[active];
      if (choice) choose(choice);
    }
  };

  return (
    <div className="choices-box">
      <input
        className="input choices-query"
        autoFocus
        role="combobox"
        aria-expanded
        aria-controls={listId}
        aria-activedescendant={shown[active] ? `${listId}-${active}` : undefined}
        aria-label="Filter the list"
        placeholder="Search"
        value={query}
        data-testid="select-query"
        onKeyDown={onKeyDown}
        onChange={(event) => {
          setQuery(event.target.value);
          setActive(0);
        }}
      />
      <div id={listId} role="listbox" aria-multiselectable={several} aria-label="Options" className="choices-list">
        {shown.map((choice, index) => (
          <div key={choice.key}>
            {choice.group !== undefined && choice.group !== shown[index - 1]?.group && (
              <div className="menu-heading">{choice.group}</div>
            )}
            <div
              id={`${listId}-${index}`}
              role="option"
              aria-selected={chosen.includes(choice.key)}
              className={`menu-item ${index === active ? "active" : ""}`}
              data-testid={`option-${choice.key}`}
              onPointerMove={() => setActive(index)}
              onClick={() => choose(choice)}
            >
              <span>
                <PlainText text={choice.label} />
                {choice.description && <small>{choice.description}</small>}
              </span>
              {chosen.includes(choice.key) && <Check size={14} aria-hidden />}
            </div>
          </div>
        ))}
        {status && <div className="menu-note">{status}</div>}
      </div>
    </div>
  );
}
