// What is missing, and why: a silent gap would be taken for an answer.

import { Nothing, Pending } from '../parts/pending'
import { plain } from '../model/words'
import type { Section, SectionProperties } from './section'

function NotCaptured({ incident }: SectionProperties) {
  return (
    <Pending of={incident.section('not_captured')} what="what was not captured">
      {({ items }) => items.length === 0
        ? <Nothing>Everything that was looked for was captured.</Nothing>
        : (
          <div class="scroll pad" tabIndex={0} role="region" aria-label="Not captured">
            <table class="plain">
              <thead><tr><th>What</th><th>Why</th></tr></thead>
              <tbody>{items.map((loss, at) => <tr key={at}><td>{plain(loss.what)}</td><td class="wide">{plain(loss.why)}</td></tr>)}</tbody>
            </table>
          </div>
        )}
    </Pending>
  )
}

export const notCaptured: Section = { name: 'not_captured', title: 'Not captured', hint: 'what is missing, and why', view: NotCaptured }
