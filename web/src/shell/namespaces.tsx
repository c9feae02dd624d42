// Which namespaces are asked for: on every page the same.

import { useState } from "preact/hooks";
import { go, place } from "../state/place.ts";

export function Namespaces() {
  const { namespaces } = place.value;
  const [text, setText] = useState("");
  return (
    <div class="row">
      {namespaces.map((name) => (
        <span class="chip" key={name}>
          {name}
          <button
            type="button"
            class="plain"
            aria-label={`Remove namespace ${name}`}
            onClick={() => go({ namespaces: namespaces.filter((one) => one !== name) })}
          >
            ×
          </button>
        </span>
      ))}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const name = text.trim();
          if (name && !namespaces.includes(name)) go({ namespaces: [...namespaces, name].sort() });
          setText("");
        }}
      >
        <input
          class="short"
          list="namespaces"
          aria-label="Only this namespace"
          placeholder={namespaces.length === 0 ? "all namespaces" : "and …"}
          value={text}
          spellcheck={false}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </form>
    </div>
  );
}
