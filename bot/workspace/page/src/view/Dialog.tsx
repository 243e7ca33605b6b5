/** A modal box on the browser's own `<dialog>`: focus stays inside, Escape closes. */

import { type ReactNode, useEffect, useRef } from "react";

interface Props {
  label: string;
  onClose: () => void;
  className?: string;
  testId?: string;
  role?: "dialog" | "alertdialog";
  children: ReactNode;
}

export function Dialog({ label, onClose, className = "", testId, role = "dialog", children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const element = dialog.current;
    const before = document.activeElement as HTMLElement | null;
    element?.showModal();
    return () => {
      element?.close();
      before?.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      role={role}
      aria-label={label}
      className={className}
      data-testid={testId}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      {children}
    </dialog>
  );
}
