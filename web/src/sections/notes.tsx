// What people wrote: seen by everybody at once.

import { useState } from 'preact/hooks'
import { At } from '../parts/marks'
import { Nothing, Pending } from '../parts/pending'
import { plain } from '../model/words'
import { without } from '../state/session'
import { complain } from '../state/toasts'
import type { Section, SectionProperties } from './section'

/** As many characters as the daemon takes. */
const MAX = 4000

function Notes({ incident }: SectionProperties) {
  const [text, setText] = useState('')
  const [busy, setBusy] = useState(false)
  const why = without('act')
  const send = async () => {
    if (text.trim() === '' || busy) return
    setBusy(true)
    try {
      await incident.note(text.trim())
      setText('')
    } catch (error) {
      complain(error)
    } finally {
      setBusy(false)
    }
  }
  return (
    <div class="scroll pad notes" tabIndex={0} role="region" aria-label="Notes">
      <Pending of={incident.notes.want()} what="the notes">
        {({ notes }) => notes.length === 0
          ? <Nothing>No notes yet. Who reads this next is glad of what you tried and saw.</Nothing>
          : (
            <ol>
              {notes.map(note => (
                <li key={note.id}>
                  <p class="soft"><strong>{plain(note.who)}</strong> · <At at={note.at} /> UTC · <At at={note.at} relative /></p>
                  <p class="text">{plain(note.text)}</p>
                </li>
              ))}
            </ol>
          )}
      </Pending>
      <form onSubmit={event => { event.preventDefault(); void send() }}>
        <textarea
          aria-label="A note for everybody who looks at this incident"
          placeholder={why ?? 'A note for everybody who looks at this incident. Ctrl-Enter sends it.'}
          maxLength={MAX}
          rows={3}
          value={text}
          disabled={why !== undefined}
          onInput={event => setText(event.currentTarget.value)}
          onKeyDown={event => { if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) void send() }}
        />
        <button disabled={busy || text.trim() === '' || why !== undefined}>Add note</button>
      </form>
    </div>
  )
}

export const notes: Section = {
  name: 'notes', title: 'Notes', hint: 'what people wrote', always: true, view: Notes,
  count: (overview, incident) => incident.notes.value.value?.notes.length ?? overview.notes,
}
