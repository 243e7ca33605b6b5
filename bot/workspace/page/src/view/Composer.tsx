/** Where one writes: Enter sends, Shift+Enter breaks the line, and words are completed. */

import { AtSign, SendHorizontal, SmilePlus, SquareSlash, Zap } from "lucide-react";
import { type KeyboardEvent, useEffect, useId, useLayoutEffect, useRef, useState } from "react";

import { complete, type Suggestion, usageHint } from "../model/completion";
import { useWorkspaceContext } from "./context";
import { EmojiPicker } from "./EmojiPicker";
import { Menu } from "./Menu";
import { Suggestions } from "./Suggestions";

interface Props {
  channel: string;
  thread: string | null;
  placeholder: string;
  testId: string;
  /** Name for "Also send to #channel", in a thread of a channel. */
  alsoTo?: string | undefined;
}

/** What was begun and not sent, by channel and thread, as long as the page is open. */
const drafts = new Map<string, string>();

export function Composer({ channel, thread, placeholder, testId, alsoTo }: Props) {
  const { page, send } = useWorkspaceContext();
  const draftKey = `${page.user}/${channel}/${thread ?? ""}`;
  const [text, setText] = useState(() => drafts.get(draftKey) ?? "");
  const [caret, setCaret] = useState(0);
  const [active, setActive] = useState(0);
  const [dismissed, setDismissed] = useState<string | null>(null);
  const [focused, setFocused] = useState(false);
  const [broadcast, setBroadcast] = useState(false);
  const box = useRef<HTMLTextAreaElement>(null);
  const listId = useId();

  const completion = dismissed === text || !focused ? null : complete(text, caret, page);
  const chosen = completion?.suggestions[active] ?? completion?.suggestions[0];
  const hint = usageHint(text, page);
  const globals = page.shortcuts.filter((shortcut) => shortcut.type === "global");

  useLayoutEffect(() => {
    if (!box.current) return;
    box.current.style.height = "auto";
    box.current.style.height = `${box.current.scrollHeight}px`;
  }, [text]);

  useEffect(() => {
    // Not on touch screens: there it would bring up the keyboard.
    if (!matchMedia("(pointer: coarse)").matches) box.current?.focus();
  }, []);

  const write = (next: string, at = next.length) => {
    drafts.set(draftKey, next);
    setText(next);
    setCaret(at);
    setActive(0);
  };
  const insert = (from: number, to: number, what: string) => {
    const at = from + what.length;
    write(text.slice(0, from) + what + text.slice(to), at);
    requestAnimationFrame(() => {
      box.current?.focus();
      box.current?.setSelectionRange(at, at);
    });
  };
  const choose = ({ insert: what }: Suggestion) => {
    if (completion) insert(completion.from, completion.to, what);
  };
  const submit = async () => {
    const said = text.trim();
    if (said === "") return;
    write("");
    setBroadcast(false);
    if ((await send.say(channel, said, thread, broadcast)) === null) write(said);
  };

  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.nativeEvent.isComposing) return;
    const count = completion?.suggestions.length ?? 0;
    const next = { ArrowDown: active + 1, ArrowUp: active - 1 }[event.key];
    if (count > 0 && next !== undefined) {
      event.preventDefault();
      setActive((next + count) % count);
    } else if (completion && event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      setDismissed(text);
    } else if (chosen && (event.key === "Tab" || (event.key === "Enter" && !event.shiftKey))) {
      event.preventDefault();
      const isComplete = completion && text.slice(completion.from, completion.to) === chosen.insert.trim();
      if (event.key === "Enter" && isComplete) void submit();
      else choose(chosen);
    } else if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      void submit();
    }
  };

  const button = (label: string, icon: React.ReactNode, press: () => void) => (
    <button type="button" className="icon-button" aria-label={label} title={label} onClick={press}>
      {icon}
    </button>
  );

  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      {completion && (
        <Suggestions
          id={listId}
          suggestions={completion.suggestions}
          active={active}
          onActive={setActive}
          onChoose={choose}
        />
      )}
      {hint && !completion && <div className="usage-hint">{hint}</div>}
      <textarea
        ref={box}
        rows={1}
        value={text}
        placeholder={placeholder}
        aria-label={placeholder}
        aria-autocomplete="list"
        aria-controls={completion ? listId : undefined}
        aria-activedescendant={completion ? `${listId}-${active}` : undefined}
        data-testid={testId}
        onKeyDown={onKeyDown}
        onFocus={() => setFocused(true)}
        onBlur={() => setFocused(false)}
        onSelect={({ currentTarget }) => setCaret(currentTarget.selectionStart)}
        onChange={({ currentTarget }) => write(currentTarget.value, currentTarget.selectionStart)}
      />
      {alsoTo && (
        <label className="also-to">
          <input type="checkbox" checked={broadcast} onChange={(event) => setBroadcast(event.target.checked)} />
          Also send to {alsoTo}
        </label>
      )}
      <div className="composer-bar">
        {globals.length > 0 && (
          <Menu
            label="Shortcuts"
            className="icon-button"
            testId={`${testId}-shortcuts`}
            items={globals.map((shortcut) => ({
              key: shortcut.callback_id,
              label: shortcut.name,
              testId: `shortcut-${shortcut.callback_id}`,
              choose: () => void send.shortcut(shortcut.callback_id, null),
            }))}
          >
            <Zap size={18} aria-hidden />
          </Menu>
        )}
        <EmojiPicker label="Emoji" className="icon-button" onPick={(name) => insert(caret, caret, `:${name}: `)}>
          <SmilePlus size={18} aria-hidden />
        </EmojiPicker>
        {button("Mention someone", <AtSign size={18} aria-hidden />, () =>
          insert(caret, caret, /(^|\s)$/.test(text.slice(0, caret)) ? "@" : " @"),
        )}
        {text === "" &&
          page.commands.length > 0 &&
          button("Run a command", <SquareSlash size={18} aria-hidden />, () => insert(0, 0, "/"))}
        <button
          type="submit"
          className="send"
          aria-label="Send"
          disabled={text.trim() === ""}
          data-testid={`${testId}-send`}
        >
          <SendHorizontal size={17} aria-hidden />
        </button>
      </div>
    </form>
  );
}
