/** The "are you sure?" dialog that an element's `confirm` asks for. */

import { createContext, type ReactNode, useCallback, useContext, useState } from "react";

import type { Json } from "../model/protocol";
import { PlainText, TextObject } from "../blocks/Text";
import { Dialog } from "../view/Dialog";

type Ask = (confirm: Json) => Promise<boolean>;

const ConfirmContext = createContext<Ask | null>(null);

export function useConfirm(): Ask {
  const ask = useContext(ConfirmContext);
  if (!ask) throw new Error("used outside of ConfirmProvider");
  return ask;
}

export function ConfirmProvider({ children }: { children: ReactNode }) {
  const [asked, setAsked] = useState<{ confirm: Json; answer: (yes: boolean) => void } | null>(null);

  const ask = useCallback<Ask>(
    (confirm) =>
      new Promise((resolve) => {
        setAsked({
          confirm,
          answer: (yes) => {
            setAsked(null);
            resolve(yes);
          },
        });
      }),
    [],
  );

  return (
    <ConfirmContext value={ask}>
      {children}
      {asked && <ConfirmDialog confirm={asked.confirm} answer={asked.answer} />}
    </ConfirmContext>
  );
}

function ConfirmDialog({ confirm, answer }: { confirm: Json; answer: (yes: boolean) => void }) {
  const danger = confirm["style"] === "danger";
  return (
    <Dialog
      label={String(confirm["title"]?.text ?? "Are you sure?")}
      onClose={() => answer(false)}
      className="modal confirm"
      role="alertdialog"
      testId="confirm-dialog"
    >
      <header className="modal-header">
        <h2>
          <PlainText text={String(confirm["title"]?.text ?? "Are you sure?")} />
        </h2>
      </header>
      <div className="modal-body">
        <TextObject text={confirm["text"] as Json} />
      </div>
      <footer className="modal-footer">
        <button type="button" className="button" data-testid="confirm-deny" onClick={() => answer(false)}>
          <PlainText text={String(confirm["deny"]?.text ?? "Cancel")} />
        </button>
        <button
          type="button"
          className={`button ${danger ? "danger" : "primary"}`}
          data-testid="confirm-yes"
          onClick={() => answer(true)}
        >
          <PlainText text={String(confirm["confirm"]?.text ?? "Yes")} />
        </button>
      </footer>
    </Dialog>
  );
}
