// What the incident is called elsewhere, how fast it was handled, and which files were mapped.

import type { ComponentChildren } from 'preact'
import { At } from '../parts/marks'
import { Pending } from '../parts/pending'
import { bytes, duration, plain, utc } from '../model/words'
import type { Section, SectionProperties } from './section'

function About({ incident, overview }: SectionProperties) {
  const fact = (name: string, value: ComponentChildren) => value === null || value === '' ? null : <div><dt>{name}</dt><dd>{value}</dd></div>
  const has = (name: string) => overview.sections.some(section => section.name === name)
  return (
    <div class="scroll pad about" tabIndex={0} role="region" aria-label="About this incident">
      <div>
        <h3>Identity</h3>
        <dl class="facts">
          {fact('Fingerprint', <code>{overview.fingerprint}</code>)}
          {fact('First seen', <>{utc(overview.first_seen)} <span class="soft">(<At at={overview.first_seen} relative />)</span></>)}
          {fact('Kind', overview.kind.replaceAll('_', ' '))}
          {fact('Build', overview.build_id === '' ? 'unknown' : <code>{overview.build_id}</code>)}
          {fact('Revision', overview.revision === null ? null : <code>{plain(overview.revision)}</code>)}
          {fact('In service since', overview.build_since === null ? null : utc(overview.build_since))}
          {fact('Executable', overview.executable === null ? null : <code>{plain(overview.executable)}</code>)}
          {fact('Debug information', overview.debug_info)}
          {fact('Hold', overview.hold.description)}
          {fact('Held memory', overview.held_bytes === null ? null : bytes(overview.held_bytes))}
        </dl>
      </div>
      {has('timings') && (
        <div>
          <h3>After the trap</h3>
          <Pending of={incident.section('timings')} what="the timings">
            {({ items }) => {
              const longest = Math.max(1, ...items.map(item => item.after_ms))
              return (
                <table class="plain timings">
                  <tbody>
                    {items.map(item => (
                      <tr key={item.name}>
                        <th scope="row">{plain(item.title)}</th>
                        <td class="number">{duration(item.after_ms)}</td>
                        <td class="bar" aria-hidden="true"><span style={{ width: `${Math.max(0.5, (item.after_ms / longest) * 100)}%` }} /></td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              )
            }}
          </Pending>
        </div>
      )}
      {has('modules') && (
        <div class="whole">
          <h3>Modules</h3>
          <Pending of={incident.section('modules')} what="the modules">
            {({ items }) => (
              <table class="plain">
                <thead><tr><th>File</th><th>Build</th><th>Debug information</th></tr></thead>
                <tbody>{items.map(module => <tr key={module.path}><td class="mono wide">{plain(module.path)}</td><td class="mono">{module.build_id.slice(0, 12)}</td><td>{module.debug_info}</td></tr>)}</tbody>
              </table>
            )}
          </Pending>
        </div>
      )}
    </div>
  )
}

export const about: Section = { name: 'about', title: 'About', hint: 'fingerprint, build, timings, modules', always: true, view: About, count: () => undefined }
