// Made from crates/api/src/dto by its tests: change the structures there, then run
// FREEZEFRAME_BLESS=1 cargo test -p freezeframe-api --lib typescript

/**
 * Answer to an action.
 */
export type ActionAnswer = {
/**
 * `freezeframe-action/1`.
 */
schema: string,
/**
 * The action's name as in its path.
 */
action: string,
/**
 * Process that it was done to.
 */
pid: number | null,
/**
 * What happened, in a sentence.
 */
message: string, };

/**
 * Audit trail of an incident: `freezeframe-audit/1`.
 */
export type AuditList = {
/**
 * `freezeframe-audit/1`.
 */
schema: string,
/**
 * Oldest first.
 */
entries: Array<AuditShape>, };

/**
 * Somebody did something: an event, and a line of the trail.
 */
export type AuditShape = {
/**
 * The incident; null where it was about none.
 */
incident: string | null,
/**
 * RFC 3339.
 */
at: string,
/**
 * The person or part that acted.
 */
who: string,
/**
 * `release`, `reveal`, …
 */
action: string,
/**
 * Anything else.
 */
detail: string, };

/**
 * A lock that a thread waits for.
 */
export type BlockedOnShape = {
/**
 * `futex`.
 */
kind: string,
/**
 * Hexadecimal: JSON numbers lose the low bits of addresses.
 */
address: string,
/**
 * Thread that owns it, where known.
 */
owner: number | null,
/**
 * Whether the owner is a guess.
 */
guessed: boolean, };

/**
 * Body of `POST …/core`; there need not be any.
 */
export type CoreBody = {
/**
 * Which kinds of memory, by the bits of `coredump_filter` (core(5)); `store.core_filter`.
 */
filter: number | null, };

/**
 * The end of a stream.
 */
export type EndEvent = {
/**
 * `shutdown`.
 */
why: string, };

/**
 * Body of every answer that is not 2xx.
 */
export type ErrorAnswer = {
/**
 * What went wrong.
 */
error: ErrorShape, };

/**
 * What went wrong.
 */
export type ErrorShape = {
/**
 * `not_found`, `denied`, `conflict`, `timed_out`, `failed`, `unauthorized`, `rate_limited`, `bad_request`, `misdirected`, `invalid`, `busy`.
 */
kind: string,
/**
 * For people.
 */
message: string,
/**
 * What to do next.
 */
hints: Array<string>,
/**
 * Where an expression has no value: which part of it is meant.
 */
expression?: ExpressionShape, };

/**
 * A request that is over.
 */
export type ExchangeShape = {
/**
 * When the gate passed it on: RFC 3339.
 */
at: string,
/**
 * HTTP method.
 */
method: string,
/**
 * Path without query.
 */
path: string,
/**
 * W3C `traceparent`.
 */
traceparent: string,
/**
 * Number of the instance that it went to last.
 */
instance: number | null,
/**
 * Status that the client saw.
 */
status: number,
/**
 * Time to the last byte in milliseconds.
 */
duration_ms: number,
/**
 * Whether it went to a second instance.
 */
retried: boolean,
/**
 * `answered`, `upstream_failed`, `client_gone`, `refused`.
 */
outcome: string,
/**
 * What went wrong, where something did.
 */
detail: string | null, };

/**
 * The part of an expression that an error is about.
 */
export type ExpressionShape = {
/**
 * `syntax`, `not_found`, `not_captured`, `redacted`, `unavailable`, `unfit`, `arithmetic`, `limit`.
 */
obstacle: string,
/**
 * Where the part begins, in bytes.
 */
start: number,
/**
 * Where it ends.
 */
end: number,
/**
 * What is wrong.
 */
what: string,
/**
 * Why, or what to do about it.
 */
why: string,
/**
 * What is there instead, nearest names first.
 */
instead: Array<string>, };

/**
 * Body of `POST …/extend`.
 */
export type ExtendBody = {
/**
 * Milliseconds to add to the lease.
 */
by_ms: number, };

/**
 * What runs and what it does: `freezeframe-fleet/1`. Rates are those of the last 10 seconds.
 */
export type FleetAnswer = {
/**
 * `freezeframe-fleet/1`.
 */
schema: string,
/**
 * When this was so: RFC 3339.
 */
at: string,
/**
 * Name of the service.
 */
service: string,
/**
 * Instances in routing.
 */
serving: number,
/**
 * Instances that should be in routing.
 */
wanted: number,
/**
 * Held processes.
 */
held: number,
/**
 * As many as may be held.
 */
held_max: number,
/**
 * Instances that are ready to take over.
 */
spares: number,
/**
 * Spares that there should be.
 */
spares_wanted: number,
/**
 * Requests per second.
 */
rate_per_s: number,
/**
 * The part of them that was refused to protect the service, 0 to 1.
 */
shed_share: number,
/**
 * The part of them that was answered 5xx, 0 to 1.
 */
error_share: number,
/**
 * Half of the requests took at most so long, in milliseconds; null without requests.
 */
p50_ms: number | null,
/**
 * 99 % of the requests took at most so long, in milliseconds; null without requests.
 */
p99_ms: number | null,
/**
 * Resident memory of everything held, in bytes.
 */
held_bytes: number,
/**
 * As much as may be held.
 */
held_bytes_max: number,
/**
 * Every process tree of the service.
 */
instances: Array<FleetInstance>,
/**
 * What the gate routes to, and its limits.
 */
gate: Array<GateService>, };

/**
 * One instance and what it does.
 */
export type FleetInstance = {
/**
 * `shop/2`.
 */
name: string,
/**
 * Build of its executable, hexadecimal; empty where it is not known.
 */
build_id: string,
/**
 * Requests per second that it answered.
 */
rate_per_s: number,
/**
 * 99 % of them took at most so long, in milliseconds; null without requests.
 */
p99_ms: number | null,
/**
 * Resident memory of its process tree, in bytes; null where it cannot be read.
 */
memory_bytes: number | null,
/**
 * When it was started: RFC 3339.
 */
started_at: string,
/**
 * When the lease of its hold ends: RFC 3339; null where it is not held.
 */
lease_until: string | null,
/**
 * Its number.
 */
id: number,
/**
 * `starting`, `spare`, `serving`, `draining`, `held`, `stopping`.
 */
role: string,
/**
 * Process id; null before it runs.
 */
pid: number | null,
/**
 * Port it listens on.
 */
port: number,
/**
 * Since when it has this role: RFC 3339.
 */
since: string,
/**
 * Requests it is working on.
 */
in_flight: number,
/**
 * Whether traps are planted in it.
 */
armed: boolean,
/**
 * Why not, where they are not.
 */
not_armed_because: string | null,
/**
 * The incident it is held for.
 */
incident: string | null, };

/**
 * One function activation.
 */
export type FrameShape = {
/**
 * Demangled name.
 */
function: string,
/**
 * Source file; empty where unknown.
 */
file: string,
/**
 * Counted from 1; 0 where unknown.
 */
line: number,
/**
 * Whether the compiler merged it into the next frame outwards.
 */
inlined: boolean,
/**
 * `user`, `library`, `signal_trampoline`.
 */
kind: string,
/**
 * Program counter, hexadecimal.
 */
address: string,
/**
 * Arguments, then locals.
 */
variables: Array<VariableShape>, };

/**
 * One of the gate's services: what is under way, and how much may be.
 */
export type GateService = {
/**
 * Its name.
 */
name: string,
/**
 * Instances that get requests.
 */
instances: number,
/**
 * Requests that they are working on.
 */
in_flight: number,
/**
 * As many as each may have; null is no limit.
 */
in_flight_max: number | null,
/**
 * Requests that wait for a place.
 */
queued: number,
/**
 * As many as may wait.
 */
queue_max: number, };

/**
 * The beginning of a stream.
 */
export type HelloEvent = {
/**
 * `freezeframe-events/1`.
 */
schema: string,
/**
 * Version of the daemon.
 */
version: string,
/**
 * The daemon's clock: RFC 3339.
 */
now: string, };

/**
 * How the last hour went: `freezeframe-fleet-history/1`. It begins with the daemon.
 */
export type HistoryAnswer = {
/**
 * `freezeframe-fleet-history/1`.
 */
schema: string,
/**
 * Seconds that a column stands for.
 */
column_s: number,
/**
 * Oldest first.
 */
columns: Array<HistoryColumn>,
/**
 * What happened meanwhile, oldest first.
 */
markers: Array<HistoryMarker>, };

/**
 * The requests that ended within some seconds.
 */
export type HistoryColumn = {
/**
 * When it began: RFC 3339.
 */
at: string,
/**
 * Requests.
 */
requests: number,
/**
 * Those of them that were refused to protect the service.
 */
shed: number,
/**
 * Those of them that were answered 5xx.
 */
errors: number,
/**
 * How long they took: the upper bound of a bucket in microseconds and how many are in it, shortest first; empty buckets are left out.
 * A bucket begins at its upper bound divided by 2^(1/32).
 */
buckets: Array<[number, number]>, };

/**
 * Something that happened, on the axis of time.
 */
export type HistoryMarker = {
/**
 * RFC 3339.
 */
at: string,
/**
 * `incident`, `deploy`.
 */
kind: string,
/**
 * Number of the incident; null for a deploy.
 */
incident: string | null,
/**
 * In words.
 */
text: string, };

/**
 * How a process is held.
 */
export type HoldShape = {
/**
 * `none`, `frozen`, `stopped`.
 */
strength: string,
/**
 * `network cut`, `network not cut`, `network not cut: missing …`.
 */
network: string,
/**
 * Both in words.
 */
description: string,
/**
 * The held process; null where nothing is held.
 */
pid: number | null,
/**
 * When the lease ends (RFC 3339); null where nothing is held.
 */
lease_until: string | null, };

/**
 * One fact about the impact, in words.
 */
export type ImpactShape = {
/**
 * Whether it is as it should be; null where it is neither.
 */
well: boolean | null,
/**
 * For people.
 */
text: string, };

/**
 * The newest incidents: `freezeframe-incidents/1`.
 */
export type IncidentList = {
/**
 * `freezeframe-incidents/1`.
 */
schema: string,
/**
 * Newest first.
 */
incidents: Array<IncidentSummary>, };

/**
 * An incident as a line of a list; the fields mean the same as in [`IncidentView`].
 */
export type IncidentSummary = {
/**
 * `INC-42`.
 */
id: string,
/**
 * How it was noticed.
 */
kind: string,
/**
 * What became of the process.
 */
state: string,
/**
 * What broke in one sentence.
 */
sentence: string,
/**
 * The error's own words.
 */
message: string,
/**
 * 32 hexadecimal digits.
 */
fingerprint: string,
/**
 * Where.
 */
site: SiteShape,
/**
 * Name of the service.
 */
service: string,
/**
 * `shop/2`.
 */
instance: string,
/**
 * Hexadecimal.
 */
build_id: string,
/**
 * RFC 3339.
 */
captured_at: string,
/**
 * RFC 3339.
 */
updated_at: string,
/**
 * Occurrences.
 */
count: number,
/**
 * Requests lost besides the failing one.
 */
requests_lost: number,
/**
 * How it is held.
 */
hold: HoldShape, };

/**
 * Body of `POST …/inspect` and `POST …/reveal`. What is missing has the default that it names.
 */
export type InspectBody = {
/**
 * The kernel's id of the thread; the failing one.
 */
thread: number | null,
/**
 * Number of the frame; of the failing thread that of the site, of others 0.
 */
frame: number | null,
/**
 * What is asked for, for example `order.items[3].price`.
 */
expression: string,
/**
 * The first element or field to show; 0.
 */
offset: number,
/**
 * Elements and fields of one value; 100, at most 10,000.
 */
limit: number | null,
/**
 * Pointers and structures that are followed inwards; 3, at most 16.
 */
depth: number | null,
/**
 * Bytes of one text; 64 KiB, at most 256 KiB.
 */
text_bytes: number | null,
/**
 * Why a redacted value is looked at, for the audit log; only for `reveal`.
 */
reason: string, };

/**
 * What runs at the moment: `freezeframe-instances/1`.
 */
export type InstanceList = {
/**
 * `freezeframe-instances/1`.
 */
schema: string,
/**
 * In the daemon's order.
 */
instances: Array<InstanceShape>, };

/**
 * One instance.
 */
export type InstanceShape = {
/**
 * Its number.
 */
id: number,
/**
 * `starting`, `spare`, `serving`, `draining`, `held`, `stopping`.
 */
role: string,
/**
 * Process id; null before it runs.
 */
pid: number | null,
/**
 * Port it listens on.
 */
port: number,
/**
 * Since when it has this role: RFC 3339.
 */
since: string,
/**
 * Requests it is working on.
 */
in_flight: number,
/**
 * Whether traps are planted in it.
 */
armed: boolean,
/**
 * Why not, where they are not.
 */
not_armed_because: string | null,
/**
 * The incident it is held for.
 */
incident: string | null, };

/**
 * An event of `GET /api/v1/events`. The name is sent as the event's type, `data` as its data.
 */
export type LiveEvent = { "event": "hello", "data": HelloEvent } | { "event": "incident", "data": StatusShape } | { "event": "note", "data": NoteShape } | { "event": "audit", "data": AuditShape } | { "event": "fleet", "data": FleetAnswer } | { "event": "resync", "data": ResyncEvent } | { "event": "end", "data": EndEvent };

/**
 * One line that an instance wrote.
 */
export type LogShape = {
/**
 * When it was read: RFC 3339.
 */
at: string,
/**
 * `stdout`, `stderr`.
 */
stream: string,
/**
 * Text.
 */
text: string, };

/**
 * Body of `POST /api/v1/login`: a user and a password, or a token, or the secret of a link that works once.
 */
export type LoginBody = {
/**
 * Name of an account.
 */
user: string | null,
/**
 * Its password.
 */
password: string | null,
/**
 * The data directory's token.
 */
token: string | null,
/**
 * What stands behind `#once=` in the link.
 */
once: string | null, };

/**
 * One thing that is missing.
 */
export type LossShape = {
/**
 * What is missing.
 */
what: string,
/**
 * Why.
 */
why: string, };

/**
 * A milestone after the trap.
 */
export type MilestoneShape = {
/**
 * `stopped`, `fingerprinted`, `unrouted`, `replaced`, `resumed`, `captured`, `held`, `stored`.
 */
name: string,
/**
 * For people.
 */
title: string,
/**
 * Milliseconds after the trap.
 */
after_ms: number, };

/**
 * A mapped file.
 */
export type ModuleShape = {
/**
 * Path as the process sees it.
 */
path: string,
/**
 * Its build id, hexadecimal; empty where the file has none.
 */
build_id: string,
/**
 * `full`, `line tables only`, `symbols only`, `none`.
 */
debug_info: string, };

/**
 * Something that happened.
 */
export type MomentShape = {
/**
 * When: RFC 3339 with milliseconds.
 */
at: string,
/**
 * `journey`, `request`, `log`, `trap`, `stopped`, `unrouted`, `replaced`, `resumed`, `captured`, `held`, `stored`, `alert`, `action`, `note`, `state`.
 */
kind: string,
/**
 * What happened, in a few words.
 */
text: string,
/**
 * Who did it, where a person did.
 */
who: string | null,
/**
 * Whether it is something that went wrong.
 */
is_bad: boolean, };

/**
 * Body of `POST …/notes`.
 */
export type NoteBody = {
/**
 * Plain text, at most 4,000 characters.
 */
text: string, };

/**
 * Notes of an incident: `freezeframe-notes/1`.
 */
export type NoteList = {
/**
 * `freezeframe-notes/1`.
 */
schema: string,
/**
 * Oldest first.
 */
notes: Array<NoteShape>, };

/**
 * A note: the answer to `POST …/notes`, an event, and a line of the list.
 */
export type NoteShape = {
/**
 * `freezeframe-note/1`.
 */
schema: string,
/**
 * Of which incident.
 */
incident: string,
/**
 * Its number.
 */
id: number,
/**
 * RFC 3339.
 */
at: string,
/**
 * Who wrote it.
 */
who: string,
/**
 * Plain text.
 */
text: string, };

/**
 * What a person needs first of an incident: `freezeframe-overview/1`.
 */
export type Overview = {
/**
 * `freezeframe-overview/1`.
 */
schema: string,
/**
 * The first occurrence of this fingerprint here: RFC 3339.
 */
first_seen: string,
/**
 * Occurrences before this incident; 0 is a new error.
 */
seen_before: number,
/**
 * The build's file as the instance ran it; null where it is not known.
 */
executable: string | null,
/**
 * How much debug information the build has: `full`, `line tables only`, `symbols only`, `none`; null where it is not known.
 */
debug_info: string | null,
/**
 * When an instance of this build served first: RFC 3339; null where it is not known.
 */
build_since: string | null,
/**
 * Age of the build at the time of the error, in milliseconds; null where it is not known.
 */
build_age_ms: number | null,
/**
 * Revision of the sources that the build was made from; null where none was configured.
 */
revision: string | null,
/**
 * The request that failed.
 */
request: RequestShape,
/**
 * Source around the site.
 */
source: Array<SourceLineShape>,
/**
 * The failing thread with a bounded part of its variables; null where nothing was captured.
 */
failing: ThreadShape | null,
/**
 * Number of the site's frame in the failing thread's stack; null where there is none.
 */
site_frame: number | null,
/**
 * What there is besides, in the order of the page.
 */
sections: Array<SectionHead>,
/**
 * Notes that people wrote.
 */
notes: number,
/**
 * Who acknowledged it; null while nobody did.
 */
owner: string | null,
/**
 * When: RFC 3339.
 */
acknowledged_at: string | null,
/**
 * Milestones after the trap, in milliseconds.
 */
timings_ms: TimingsMs,
/**
 * Whether users still feel it: `replaced in 412 ms`.
 */
replaced: ImpactShape,
/**
 * `none besides the failing one`.
 */
lost: ImpactShape,
/**
 * `out of routing, frozen, network cut`.
 */
quarantine: ImpactShape,
/**
 * Resident memory when it was held, in bytes; null where nothing is held.
 */
held_bytes: number | null,
/**
 * `INC-42`.
 */
id: string,
/**
 * How it was noticed.
 */
kind: string,
/**
 * What became of the process.
 */
state: string,
/**
 * What broke in one sentence.
 */
sentence: string,
/**
 * The error's own words.
 */
message: string,
/**
 * 32 hexadecimal digits.
 */
fingerprint: string,
/**
 * Where.
 */
site: SiteShape,
/**
 * Name of the service.
 */
service: string,
/**
 * `shop/2`.
 */
instance: string,
/**
 * Hexadecimal.
 */
build_id: string,
/**
 * RFC 3339.
 */
captured_at: string,
/**
 * RFC 3339.
 */
updated_at: string,
/**
 * Occurrences.
 */
count: number,
/**
 * Requests lost besides the failing one.
 */
requests_lost: number,
/**
 * How it is held.
 */
hold: HoldShape, };

/**
 * Answer to `POST …/acknowledge`: `freezeframe-owner/1`.
 */
export type OwnerAnswer = {
/**
 * `freezeframe-owner/1`.
 */
schema: string,
/**
 * Of which incident.
 */
incident: string,
/**
 * Who has it now.
 */
owner: string,
/**
 * Since when: RFC 3339.
 */
acknowledged_at: string, };

/**
 * A request around the error.
 */
export type RequestLine = {
/**
 * `failing`, `in_flight`, `journey`.
 */
role: string,
/**
 * How the failing one was recognised: `span`, `only_one`, `memory`, `last_after_drain`, `unknown`; null for the others.
 */
matched_by: string | null,
/**
 * The request. Of one that was under way, status, duration and outcome are empty.
 */
exchange: ExchangeShape, };

/**
 * The request that failed; method, path and traceparent are null where it was not recognised.
 */
export type RequestShape = {
/**
 * HTTP method.
 */
method: string | null,
/**
 * Path without query.
 */
path: string | null,
/**
 * W3C `traceparent`.
 */
traceparent: string | null,
/**
 * `span`, `only_one`, `memory`, `last_after_drain`, `unknown`.
 */
matched_by: string,
/**
 * How many were in flight at the trap.
 */
in_flight: number,
/**
 * `POST /checkout`, `one of 3 in flight`, `none in flight`.
 */
description: string, };

/**
 * Events were left out.
 */
export type ResyncEvent = {
/**
 * How many.
 */
missed: number, };

/**
 * A section that exists for an incident.
 */
export type SectionHead = {
/**
 * Name in its path: `logs`.
 */
name: string,
/**
 * For people: `Logs`.
 */
title: string,
/**
 * Items in it, without a filter.
 */
count: number, };

/**
 * A page of a section: `freezeframe-section/1`. Which kind of items it has is told by `name`.
 */
export type SectionPage = {
/**
 * `freezeframe-section/1`.
 */
schema: string,
/**
 * Of which incident.
 */
incident: string,
/**
 * For people: `Logs`.
 */
title: string,
/**
 * Items that the filter lets through.
 */
total: number,
/**
 * The first of them on this page, counted from 0.
 */
offset: number,
/**
 * At most so many are on it.
 */
limit: number, } & ({ "name": "timeline", "items": Array<MomentShape> } | { "name": "logs", "items": Array<LogShape> } | { "name": "request", "items": Array<RequestLine> } | { "name": "threads", "items": Array<ThreadLine> } | { "name": "tasks", "items": Array<TaskShape> } | { "name": "timings", "items": Array<MilestoneShape> } | { "name": "modules", "items": Array<ModuleShape> } | { "name": "not_captured", "items": Array<LossShape> });

/**
 * Answer of `GET /api/v1/session` and of a login.
 */
export type SessionAnswer = {
/**
 * `freezeframe-session/1`.
 */
schema: string,
/**
 * As the audit log names them.
 */
user: string,
/**
 * `view`, `reveal`, `act`, `sql`.
 */
roles: Array<string>,
/**
 * `session` (a cookie), `token` or `local` (the data directory's socket).
 */
by: string,
/**
 * Of the daemon.
 */
version: string, };

/**
 * The program location of an error.
 */
export type SiteShape = {
/**
 * Demangled function name.
 */
function: string,
/**
 * Source file; empty where unknown.
 */
file: string,
/**
 * Counted from 1; 0 where unknown.
 */
line: number, };

/**
 * Source around a frame's line: `freezeframe-source/1`.
 */
export type SourceAnswer = {
/**
 * `freezeframe-source/1`.
 */
schema: string,
/**
 * File as the compiler recorded it; empty where unknown.
 */
file: string,
/**
 * The frame's line, counted from 1; 0 where unknown.
 */
line: number,
/**
 * Lines around it; empty where there are none.
 */
lines: Array<SourceLineShape>,
/**
 * `capsule`: stored with the incident; `directory`: read from a configured directory just now; `git`: from a repository at the build's
 * revision; `none`.
 */
origin: string,
/**
 * What was read: a path, or `REVISION:PATH`; null for `capsule` and `none`.
 */
from: string | null,
/**
 * Why there are no lines, or why they may not be those that the build was made from.
 */
why: string | null, };

/**
 * A line of source text.
 */
export type SourceLineShape = {
/**
 * Counted from 1.
 */
line: number,
/**
 * Without the line end.
 */
text: string, };

/**
 * The part of an incident that changes: that of a list, and what the first screen says of it in words.
 */
export type StatusShape = {
/**
 * Who acknowledged it; null while nobody did.
 */
owner: string | null,
/**
 * When: RFC 3339.
 */
acknowledged_at: string | null,
/**
 * Milestones after the trap, in milliseconds.
 */
timings_ms: TimingsMs,
/**
 * Whether users still feel it: `replaced in 412 ms`.
 */
replaced: ImpactShape,
/**
 * `none besides the failing one`.
 */
lost: ImpactShape,
/**
 * `out of routing, frozen, network cut`.
 */
quarantine: ImpactShape,
/**
 * Resident memory when it was held, in bytes; null where nothing is held.
 */
held_bytes: number | null,
/**
 * `INC-42`.
 */
id: string,
/**
 * How it was noticed.
 */
kind: string,
/**
 * What became of the process.
 */
state: string,
/**
 * What broke in one sentence.
 */
sentence: string,
/**
 * The error's own words.
 */
message: string,
/**
 * 32 hexadecimal digits.
 */
fingerprint: string,
/**
 * Where.
 */
site: SiteShape,
/**
 * Name of the service.
 */
service: string,
/**
 * `shop/2`.
 */
instance: string,
/**
 * Hexadecimal.
 */
build_id: string,
/**
 * RFC 3339.
 */
captured_at: string,
/**
 * RFC 3339.
 */
updated_at: string,
/**
 * Occurrences.
 */
count: number,
/**
 * Requests lost besides the failing one.
 */
requests_lost: number,
/**
 * How it is held.
 */
hold: HoldShape, };

/**
 * One asynchronous task.
 */
export type TaskShape = {
/**
 * The runtime's id of it; null where it keeps none.
 */
id: number | null,
/**
 * The outermost `async` function or block, else the type of its future.
 */
name: string,
/**
 * `running`, `scheduled`, `idle`, `cancelled`, `complete`.
 */
state: string,
/**
 * Where it was spawned; null where the runtime does not keep that.
 */
spawned_at: SiteShape | null,
/**
 * The innermost future, or alternatives; null where nothing is waited for.
 */
waits_for: string | null,
/**
 * The thread that is polling it.
 */
thread: number | null,
/**
 * Innermost first; of a waiting task each at the line where it waits.
 */
frames: Array<FrameShape>, };

/**
 * One thread whole: `freezeframe-thread/1`. Where it has more values than an answer can carry, the rest is left out and can be asked for.
 */
export type ThreadAnswer = {
/**
 * `freezeframe-thread/1`.
 */
schema: string,
/**
 * Of which incident.
 */
incident: string,
/**
 * The kernel's thread id.
 */
id: number,
/**
 * Its name.
 */
name: string,
/**
 * Whether the error happened on it.
 */
failing: boolean,
/**
 * `running`, `sleeping`, `blocked`, `dead`.
 */
state: string,
/**
 * The system call it was in, where it was in one.
 */
syscall: string | null,
/**
 * The lock it waits for.
 */
blocked_on: BlockedOnShape | null,
/**
 * Why the stack ends early, where it does.
 */
truncated: string | null,
/**
 * Innermost first.
 */
frames: Array<FrameShape>, };

/**
 * A thread in a list.
 */
export type ThreadLine = {
/**
 * The kernel's thread id.
 */
id: number,
/**
 * Its name.
 */
name: string,
/**
 * Whether the error happened on it.
 */
failing: boolean,
/**
 * `running`, `sleeping`, `blocked`, `dead`.
 */
state: string,
/**
 * The system call it was in.
 */
syscall: string | null,
/**
 * The lock it waits for.
 */
blocked_on: BlockedOnShape | null,
/**
 * What it was doing, in words.
 */
activity: string,
/**
 * Frames that it has.
 */
frames: number,
/**
 * The innermost frame of the user's own code, else the innermost: function.
 */
function: string,
/**
 * And its place: `src/pricing.rs:118`; empty where unknown.
 */
place: string, };

/**
 * One thread.
 */
export type ThreadShape = {
/**
 * The kernel's thread id.
 */
id: number,
/**
 * Its name.
 */
name: string,
/**
 * Whether the error happened on it.
 */
failing: boolean,
/**
 * `running`, `sleeping`, `blocked`, `dead`.
 */
state: string,
/**
 * The system call it was in, where it was in one.
 */
syscall: string | null,
/**
 * The lock it waits for.
 */
blocked_on: BlockedOnShape | null,
/**
 * Why the stack ends early, where it does.
 */
truncated: string | null,
/**
 * Innermost first.
 */
frames: Array<FrameShape>, };

/**
 * Milestones after the trap in milliseconds.
 */
export type TimingsMs = {
/**
 * All threads stopped.
 */
stopped?: number,
/**
 * Fingerprint known.
 */
fingerprinted?: number,
/**
 * Out of routing.
 */
unrouted?: number,
/**
 * Another instance serves in its place.
 */
replaced?: number,
/**
 * Memory copied, the other threads run on.
 */
resumed?: number,
/**
 * Frames and values decoded.
 */
captured?: number,
/**
 * Drained, frozen, cut off.
 */
held?: number,
/**
 * Capsule durable.
 */
stored?: number, };

/**
 * A value that was asked for.
 */
export type ValueAnswer = {
/**
 * `freezeframe-value/1`.
 */
schema: string,
/**
 * Of which incident.
 */
incident: string,
/**
 * What was asked for.
 */
expression: string,
/**
 * The kernel's id of the thread.
 */
thread: number,
/**
 * Number of the frame.
 */
frame: number,
/**
 * The function that it stands in.
 */
function: string,
/**
 * `process`: read from the held process just now; `capture`: as it was captured.
 */
source: string,
/**
 * What is to be known besides.
 */
note: string | null,
/**
 * The value.
 */
value: VariableShape, };

/**
 * A named value. Exactly one of the three holds: `value` is a text; `unavailable` says why there is none; neither, and the
 * children say it all.
 */
export type VariableShape = {
/**
 * Name in the source.
 */
name: string,
/**
 * Type in the words of the language.
 */
type: string,
/**
 * As the language would write it.
 */
value: string | null,
/**
 * Fields, elements, pointee.
 */
children: Array<VariableShape>,
/**
 * Why there is no value: `optimised out`, `redacted: …`, `left out: …`.
 */
unavailable: string | null,
/**
 * Whether the value, or the rest of its parent's parts, was only cut off: asking again with larger bounds shows it.
 */
expandable?: boolean, };
