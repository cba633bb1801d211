// Who did what, and who looked behind which redaction.

import { At } from '../parts/marks'
import { Nothing, Pending } from '../parts/pending'
import { plain, utc } from '../model/words'
import type { Section, SectionProperties } from './section'

function Audit({ incident }: SectionProperties) {
  return (
    <Pending of={incident.audit.want()} what="the audit log">
      {({ entries }) => entries.length === 0
        ? <Nothing>Nobody did anything yet.</Nothing>
        : (
          <div class="scroll pad" tabIndex={0} role="region" aria-label="Audit log">
            <table class="plain">
              <thead><tr><th>UTC</th><th>Who</th><th>What</th><th>Detail</th></tr></thead>
              <tbody>
                {entries.map((entry, at) => (
                  <tr key={at} class={entry.action === 'reveal' ? 'attention' : ''}>
                    <td title={utc(entry.at)}><At at={entry.at} precise /></td>
                    <td>{plain(entry.who)}</td>
                    <td>{plain(entry.action)}</td>
                    <td class="wide">{plain(entry.detail)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
    </Pending>
  )
}

export const audit: Section = {
  name: 'audit', title: 'Audit', hint: 'who did and revealed what', always: true, view: Audit,
  count: (_overview, incident) => incident.audit.value.value?.entries.length,
}
