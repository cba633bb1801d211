// A section of an incident's page: one kind of evidence, or what people wrote. To add one: a file here with what is read in it, and a
// line in `index.ts`; the daemon says by `sections` of the overview whether an incident has it.

import type { ComponentType } from 'preact'
import type { Overview } from '../api/types'
import type { Incident } from '../state/incident'

export interface SectionProperties {
  incident: Incident
  overview: Overview
}

export interface Section {
  /** As in the page's address and in the daemon's list. */
  name: string
  title: string
  /** In few words what is in it, for the palette. */
  hint: string
  /** There whether or not the daemon names it. */
  always?: boolean
  /** Items in it; where nothing is said, the daemon's count. */
  count?(overview: Overview, incident: Incident): number | undefined
  view: ComponentType<SectionProperties>
}
