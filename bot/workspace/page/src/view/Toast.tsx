/** A sentence from the workspace that belongs to no channel. */

import { X } from "lucide-react";

import { useWorkspaceContext } from "./context";

export function Toast() {
  const { store, dismissToast } = useWorkspaceContext();
  if (!store.toast) return null;
  return (
    <div className="toast" role="alert" data-testid="toast">
      {store.toast}
      <button type="button" className="icon-button" aria-label="Dismiss" onClick={dismissToast}>
        <X size={16} aria-hidden />
      </button>
    </div>
  );
}
