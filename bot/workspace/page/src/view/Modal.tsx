/** The modals: the one on top is seen, those below keep what was typed into them. */

import { ArrowLeft, LoaderCircle, X } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";

import { Blocks } from "../blocks/Blocks";
import { PlainText } from "../blocks/Text";
import { useValues } from "../controls/surface";
import { SurfaceProvider } from "../controls/SurfaceProvider";
import type { Json } from "../model/protocol";
import { problems } from "../model/validate";
import { useWorkspaceContext } from "./context";
import { Dialog } from "./Dialog";
import { Toast } from "./Toast";

export function Modals() {
  const { page, send, forgetViews } = useWorkspaceContext();
  const view = page.views.at(-1);
  if (!view) return null;
  const close = (all: boolean) => {
    forgetViews(all ? page.views.map((one) => one["id"] as string) : [view["id"] as string]);
    void send.closeView(view["id"] as string, all);
  };
  return (
    <Dialog label={String(view["title"]?.text ?? "")} onClose={() => close(false)} className="modal" testId="modal">
      {page.views.map((one) => (
        <View key={one["id"]} view={one} onTop={one === view} depth={page.views.length} close={close} />
      ))}
    </Dialog>
  );
}

interface Props {
  view: Json;
  onTop: boolean;
  depth: number;
  close: (all: boolean) => void;
}

function View({ view, onTop, depth, close }: Props) {
  const { store, page, send, forgetViews } = useWorkspaceContext();
  const id = view["id"] as string;
  const blocks = view["blocks"] as Json[];
  const state = useValues(blocks);
  const [own, setOwn] = useState<Record<string, string>>({});
  const [waiting, setWaiting] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const where = useMemo(() => ({ view_id: id }), [id]);
  const told = store.viewErrors[id];
  const [answered, setAnswered] = useState(told);
  const errors = useMemo(() => (told === answered ? own : { ...told, ...own }), [told, answered, own]);

  useEffect(() => {
    const first = form.current?.querySelector<HTMLElement>(".has-error input, .has-error textarea, .has-error button");
    first?.focus();
  }, [errors]);

  useEffect(() => {
    if (!onTop) return;
    const first = form.current?.querySelector<HTMLElement>(
      ".block-input input, .block-input textarea, .block-input button",
    );
    first?.focus();
  }, [onTop]);

  const submit = async () => {
    const wrong = problems(blocks, state.values);
    setOwn(wrong);
    setAnswered(told);
    if (Object.keys(wrong).length > 0 || waiting) return;
    setWaiting(true);
    const stack = page.views.map((one) => one["id"] as string);
    const answer = await send.submit(id, state.values);
    setWaiting(false);
    if (!answer?.ok) return;
    if (answer.response_action === "errors") setOwn(answer.errors);
    else if (answer.response_action === "clear") forgetViews(stack);
    else if (answer.response_action === null) forgetViews([id]);
  };

  return (
    <form
      ref={form}
      hidden={!onTop}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <header className="modal-header">
        {depth > 1 && (
          <button type="button" className="icon-button" aria-label="Back" onClick={() => close(false)}>
            <ArrowLeft size={20} aria-hidden />
          </button>
        )}
        <h2>
          <PlainText text={String(view["title"]?.text ?? "")} />
        </h2>
        <button
          type="button"
          className="icon-button close"
          aria-label="Close"
          data-testid="modal-x"
          onClick={() => close(depth > 1)}
        >
          <X size={20} aria-hidden />
        </button>
      </header>
      <div className="modal-body">
        <SurfaceProvider where={where} blocks={blocks} errors={errors} state={state}>
          <Blocks blocks={blocks} />
        </SurfaceProvider>
      </div>
      {onTop && <Toast />}
      {(view["submit"] || view["close"]) && (
        <footer className="modal-footer">
          <button type="button" className="button" data-testid="modal-close" onClick={() => close(false)}>
            <PlainText text={String(view["close"]?.text ?? "Cancel")} />
          </button>
          {view["submit"] && (
            <button type="submit" className="button primary" disabled={waiting} data-testid="modal-submit">
              {waiting && <LoaderCircle size={14} className="spin" aria-label="Waiting" />}
              <PlainText text={String(view["submit"].text)} />
            </button>
          )}
        </footer>
      )}
    </form>
  );
}
