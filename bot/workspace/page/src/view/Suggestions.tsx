/** The list above the composer. */

import { AtSign, Hash, Users } from "lucide-react";

import type { Suggestion } from "../model/completion";
import { Avatar } from "./Avatar";
import { useWorkspaceContext } from "./context";

interface Props {
  id: string;
  suggestions: Suggestion[];
  active: number;
  onActive: (index: number) => void;
  onChoose: (suggestion: Suggestion) => void;
}

export function Suggestions({ id, suggestions, active, onActive, onChoose }: Props) {
  return (
    <div id={id} role="listbox" aria-label="Suggestions" className="suggestions" data-testid="suggestions">
      {suggestions.map((suggestion, index) => (
        <div
          key={suggestion.key}
          id={`${id}-${index}`}
          role="option"
          aria-selected={index === active}
          className={`suggestion ${index === active ? "active" : ""}`}
          data-testid={`suggestion-${suggestion.key.replace("/", "")}`}
          onPointerMove={() => onActive(index)}
          onPointerDown={(event) => {
            event.preventDefault(); // the composer keeps the focus
            onChoose(suggestion);
          }}
        >
          <SuggestionIcon suggestion={suggestion} />
          <span className="suggestion-label">{suggestion.label}</span>
          <span className="suggestion-detail">{suggestion.detail}</span>
        </div>
      ))}
    </div>
  );
}

function SuggestionIcon({ suggestion: { kind, key } }: { suggestion: Suggestion }) {
  const { person, bot } = useWorkspaceContext();
  const user = kind === "command" ? bot : kind === "user" ? person(key) : undefined;
  if (user) return <Avatar user={user} size="tiny" />;
  if (kind === "group") return <Users size={16} aria-hidden />;
  if (kind === "channel") return <Hash size={16} aria-hidden />;
  if (kind === "broadcast") return <AtSign size={16} aria-hidden />;
  return null;
}
