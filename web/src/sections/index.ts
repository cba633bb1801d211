// All sections, in the order of the page.

import type { Overview } from '../api/types'
import { about } from './about'
import { audit } from './audit'
import { logs } from './logs'
import { notCaptured } from './not_captured'
import { notes } from './notes'
import { request } from './request'
import type { Section } from './section'
import { tasks } from './tasks'
import { threads } from './threads'
import { timeline } from './timeline'

const SECTIONS: readonly Section[] = [timeline, logs, request, threads, tasks, notCaptured, notes, audit, about]

/** Those that an incident has. */
export function sectionsOf(overview: Overview): readonly Section[] {
  const there = new Set(overview.sections.map(section => section.name))
  return SECTIONS.filter(section => section.always === true || there.has(section.name))
}
