// Source lines with the failing one marked, and what its variables were beside them.

import { Fragment } from 'preact'
import { useLayoutEffect, useRef } from 'preact/hooks'
import type { SourceLineShape, VariableShape } from '../api/types'
import { tokens, type Carry } from '../model/highlight'
import { inlineValues } from '../model/preview'
import { plain } from '../model/words'

interface Properties {
  lines: readonly SourceLineShape[]
  /** The line that the frame stands on. */
  at: number
  /** The error's own words, shown below its line, which is what one came for; not for the frames around it. */
  message: string | null
  variables: readonly VariableShape[]
}

export function Source({ lines, at, message, variables }: Properties) {
  const box = useRef<HTMLDivElement>(null)
  useLayoutEffect(() => {
    const element = box.current
    const line = element?.querySelector<HTMLElement>('.at')
    if (element === null || element === undefined || line === null || line === undefined) return
    element.scrollTop = line.offsetTop - element.clientHeight / 2 + line.offsetHeight
    element.scrollLeft = 0
  }, [lines, at])
  const carry: Carry = { comment: 0 }
  const indent = commonIndent(lines)
  // Values are said once, where they matter most: at the line itself, then upwards.
  const beside = new Map<number, { name: string; value: string }[]>()
  const said = new Set<string>()
  const upTo = lines.filter(line => line.line <= at).toReversed()
  for (const line of upTo.slice(0, 12)) {
    const values = inlineValues(line.text, variables, line.line === at ? 4 : 3).filter(one => !said.has(one.name))
    values.forEach(one => said.add(one.name))
    if (values.length > 0) beside.set(line.line, values)
  }
  return (
    <div class="source" ref={box} tabIndex={0} role="region" aria-label="Source around the line">
      <table>
        <tbody>
          {lines.map(line => (
            <Fragment key={line.line}>
              <tr class={line.line === at ? 'at' : ''}>
                <td class="number">{line.line === at && <span class="sr">failing line </span>}{line.line}</td>
                <td class="code">
                  <code>{tokens(plain(line.text.slice(indent)).replaceAll('\n', ''), carry).map((token, n) => <span key={n} class={`t-${token.kind}`}>{token.text}</span>)}</code>
                  {line.line !== at && <Beside values={beside.get(line.line)} />}
                </td>
              </tr>
              {line.line === at && (message !== null || beside.has(at)) && (
                <tr class="at message">
                  <td class="number" aria-hidden="true">{message === null ? '' : '✖'}</td>
                  <td class="code"><div class="held"><span>{plain(message?.split('\n')[0] ?? '')}</span><Beside values={beside.get(at)} /></div></td>
                </tr>
              )}
            </Fragment>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function Beside({ values }: { values: { name: string; value: string }[] | undefined }) {
  return <>{values?.map(({ name, value }) => <span class="beside" key={name}><span class="sr"> value of </span>{name} = <b>{plain(value)}</b></span>)}</>
}

/** Spaces that all lines begin with: on a narrow screen they are room lost. */
function commonIndent(lines: readonly SourceLineShape[]): number {
  const indents = lines.filter(line => line.text.trim() !== '').map(line => /^[ ]*/.exec(line.text)![0].length)
  return indents.length === 0 ? 0 : Math.max(0, Math.min(...indents))
}
