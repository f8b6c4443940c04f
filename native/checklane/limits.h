/* Every ceiling of the engine, with its arithmetic. A ceiling that a request can reach has a
 * refusal of its own in status.h. Lines of the form `#define NAME value` are read by
 * native/layout_to_python.py: keep values plain integers or products of integers. */
#ifndef CHECKLANE_LIMITS_H
#define CHECKLANE_LIMITS_H

/* One request. 512 lines of about 120 bytes and 32 coupons fit four times over. */
#define REQUEST_BYTES_MAX (256 * 1024)
/* One answer. 512 lines with 8 shares of 48 bytes are 192 KiB; explain adds 256 records of 64. */
#define REPLY_BYTES_MAX (512 * 1024)
/* Lines in one basket. */
#define BASKET_LINES_MAX 512
/* Runs of identical units: a line whose amount does not divide by its count makes two. */
#define BASKET_RUNS_MAX (2 * 512)
#define RUN_WORDS_MAX (2 * 512 / 64)
#define LINE_WORDS_MAX (512 / 64)
/* Identifiers, coupons, tenders, POS discounts and chosen offers in one basket. */
#define IDENTIFIERS_MAX 8
#define COUPONS_MAX 32
#define TENDERS_MAX 16
/* Company prefixes and location numbers of one retailer, compared one by one with a coupon's. */
#define RETAILERS_MAX 64
#define POS_DISCOUNTS_MAX 512
#define SELECTIONS_MAX 32
/* Text fields on the wire, in bytes: an id, an identifier or code, a free reason. */
#define ID_BYTES_MAX 64
#define VALUE_BYTES_MAX 256
/* Units on one line. 10^6 units * 512 lines = 5 * 10^8 units in a basket. */
#define LINE_COUNT_MAX 1000000
/* Measure on one line, in thousandths of its unit: 10^6 litres, kilograms or gallons. */
#define LINE_MEASURE_MAX 1000000000
/* Money on one line, minor units. 10^11 * 512 lines * 10^4 (the search counts ten-thousandths of
 * a minor unit) = 5.1 * 10^17, inside 63 bits (9.2 * 10^18) with room for 18 such sums. */
#define LINE_AMOUNT_MAX 100000000000
/* Live offers in one program; offer numbers travel in 32 bits, tables in a few hundred MiB. */
#define OFFERS_MAX 1000000
/* Offers that may compete in one basket. 256 candidates * 8 slots * 128 B of bit set = 256 KiB a
 * session, the working set of one decision inside a 1 MiB second-level cache. */
#define CANDIDATES_MAX 256
#define OFFER_SLOTS_MAX 8
/* Offers that gave something: each candidate. */
#define APPLIED_MAX CANDIDATES_MAX
/* Units taken by applied offers, as (offer, run, units) records: 4 for every run. */
#define SHARES_MAX (4 * 1024)
/* The same, spread over lines: 8 * 1024 with a discount, and where units of a line only qualified.
 * Of these, what does not fit is not told: 12 * 1024 * 32 B = 384 KiB, touched where it is used. */
#define QUALIFYING_SHARES_MAX (4 * 1024)
#define LINE_SHARES_MAX (12 * 1024)
#define AWARDS_MAX 512
#define NEAR_MISSES_MAX 8
#define MESSAGES_MAX 32
/* Offers in one wallet, snapshot and overlay together. */
#define WALLET_MAX 256
/* Cells in one account record: 1,000 * 32 B = 32,000 B, under one 32 KiB copy-on-write. A group
 * holds its lots (coalesced by purse, activation, expiry), a member its counters and progress. */
#define RECORD_CELLS_MAX 1000
/* Movements in one entry: a counter an applied offer, an award a lot, and the bindings. */
#define MOVEMENTS_MAX 2048
/* An entry: header, request, facts (two records of 32 KiB and a wallet), movements, response. */
#define ENTRY_BYTES_MAX (1024 * 1024)
/* A journal segment. A group never straddles two; 64 MiB hold some 40,000 sales. */
#define SEGMENT_BYTES (64 * 1024 * 1024)
/* Bytes and entries in one group: one write and one sync. */
#define GROUP_BYTES_MAX (4 * 1024 * 1024)
#define GROUP_ENTRIES_MAX 512
/* Changes that may wait for the writer before the next is refused as overload. */
#define QUEUE_CHANGES_MAX 4096
/* Sessions (scratch memory for one call each) that an engine owns. About 11 MiB each, most of
 * it what competes and the search's tableau, which a call touches only where offers compete: 256
 * are 2.8 GiB of address space. */
#define SESSIONS_MAX 256
/* Arena of one memtable. Two exist at most: active and frozen. */
#define MEMTABLE_BYTES (256 * 1024 * 1024)
/* Slots of one memtable: 2^20 * 16 B = 16 MiB; a freeze starts at half. */
#define MEMTABLE_SLOTS (1024 * 1024)
/* Map of the accounts environment: sparse at creation. 10^7 accounts of 1 KiB, 8 * 10^6
 * idempotency keys of 128 B (20,000 sales * 400 days), receipts the same: 12 GiB; 64 give room. */
#define ACCOUNTS_MAP_BYTES 68719476736
/* The default retention of idempotency keys and receipts, in days. */
#define RETENTION_DAYS 400
/* The longest: they lie in a ring of 32 sub-databases, one a month. 28 days * 30 months. */
#define RETENTION_DAYS_MAX 840
/* Keys, or receipts, after which a run of a month is closed at a checkpoint's end; a checkpoint
 * that the load brings about has 100,000 and more of both. 16 million in all / 65,536 = 244 runs,
 * 122 of each: what a look-up goes through until there is an index, 1.4 us each. */
#define RUN_RECORDS_MIN 65536
/* Runs that one month of a family has at most; the last one grows. 1,024 * 65,536 = 67 million
 * receipts a month, of 128 B each more than the accounts' map holds in eight months. */
#define RUNS_MAX 1024
/* Offers stopped by hand at one time. */
#define STOPPED_MAX 1024
/* Counters of cards, stores and everybody that one decision may read: two for each candidate. */
#define SHARED_COUNTERS_MAX 512
/* Counters that one decision may move: eight for each candidate. One that moves more is refused, as
 * one with too many candidates is. */
#define COUNTED_MAX 2048
/* Holds of one group that are open at a time: each is a cell in up to three records and four lines
 * of an answer. */
#define HOLDS_MAX 64
/* Fills of one sale that were authorised, prices of an authorisation, and the offers that one may
 * name: each is a cell of 32 B in the hold's record. */
#define FUEL_FILLS_MAX 8
#define FUEL_PRICES_MAX 32
#define FUEL_OFFERS_MAX 16
#define FUEL_RIGHTS_MAX (8 * 16)
/* Open holds that a decision looks through: those that its sale spends, its own total's, and those
 * of its fills. */
#define OWN_HOLDS_MAX (16 + 1 + 8)
/* What a commit could not honour of its total: each candidate, each payment with points, each
 * coupon, the total itself; of the holds that it names two of each, of its fills one, and the
 * program of these; the goods that came back, with a receipt and without; that the date is
 * closed. */
#define MISSING_MAX (256 + 32 + 32 + 1 + 2 * 16 + 8 + 1 + 3)
/* The reversal in the answer to a basket in which goods come back: 512 lines of 37 B and as many
 * exceptions of 20 B, purses' points and balances of 100 B each. */
#define REVERSAL_BYTES_MAX (40 * 1024)
/* Figures that a refused commit is told to have changed: 32 of 54 B (a place of 34, two numbers of
 * 7), as many lines of 16, two sums and the points of 16 purses of 79 are 3,530 B: in base64 4,707,
 * so that with its words a refusal stays below the 8 KiB that gRPC peers take by default. */
#define FIGURE_CHANGES_MAX 32
#define FIGURES_CHANGED_BYTES_MAX 3584
/* A signed summary of a sale, as text or in a barcode of its receipt; a code that holds more is not
 * read by a till. Lots that it names: 26 B each at most, 1,664 B. */
#define CAPSULE_BYTES_MAX 4096
#define CAPSULE_POINTS_MAX 64
/* Coupons that one sale may issue: a receipt's worth, each a movement and 160 B of the answer. */
#define ISSUED_MAX 32
/* Lines of a sale whose returns are repriced: two cells each in the receipt's record, 800 of
 * RECORD_CELLS_MAX; purses and progress have the rest. */
#define REPRICED_LINES_MAX 400
/* Facts of one entry: header, two records, wallet, stops, sold lines, found, shared counters: 160 +
 * 2 * 32,016 + 2,048 + 8,192 + 16,384 + 192 + 12,288 = 103,296 bytes; of a sale that was totalled
 * also the group's cells, what was missing, the points of its holds and the total's request:
 * 24 + 32,000 + 8,736 + 256 + 262,144 = 303,160; of authorised fills 8 + 3,072 = 3,080; of one in
 * which goods come back the refunds and the reversal: 24 + 8,192 + 40,960 = 49,176. In all
 * 458,712. */
#define FACTS_BYTES_MAX (450 * 1024)
/* Facts of a claim: those of who claims, 103,296 bytes; 48; request and facts of the sale, 262,144
 * and FACTS_BYTES_MAX: 826,288. */
#define CLAIM_FACTS_BYTES_MAX (808 * 1024)
/* Programs that are not live any more and that totals and late sales use, a few open files each. */
#define KEPT_MAX 8
/* Changes of the live program that are known by their time, for sales that come late: a change a
 * day for longer than receipts are kept. Two cells each: 900 of RECORD_CELLS_MAX. */
#define LIVE_NOTED_MAX 450
/* Lots and old counters that one entry may sweep out of a record. */
#define SWEPT_MAX 16
/* Days that a lot stays beyond its expiry, and a counter beyond its window: for what comes late.
 * Eight limits of a day are 8 * (62 + 2) = 512 cells, half of RECORD_CELLS_MAX. */
#define LOT_KEPT_DAYS 31
#define COUNTER_KEPT_DAYS 62
/* Days after which a sale may still be claimed, at most: as long as counters stay beyond their
 * window, so that no limit is read as unused. */
#define CLAIM_DAYS_MAX 62
/* Members that were merged one into the next: as many look-ups, of a record each, at the till. */
#define MERGES_MAX 16
/* Points that an adjustment by hand may leave in one purse, in smallest units, and as many owed.
 * 9 * 10^15 is exact in a binary double, which callers in other languages keep numbers in; 1,000
 * such lots are 9 * 10^18, inside 63 bits (9.2 * 10^18). */
#define PURSE_POINTS_MAX 9000000000000000
/* Stores in one program: a bit set of 4,096 stores is 512 B. */
#define STORES_MAX 4096
/* Counts towards goals in one program: 64 * 128 B of bit set = 8 KiB a session. */
#define PROGRESS_MAX 64
/* Purses and tiers; their numbers are 1..PURSES_MAX and 0..TIERS_MAX-1. Segments 0..127. */
#define PURSES_MAX 16
#define TIERS_MAX 16
#define SEGMENTS_MAX 128
/* Steps that one decision may take when the program sets none. */
#define STEP_BUDGET_DEFAULT 400000
/* Steps that a decision may take beyond its budget: every offer takes what is left in one walk. 256
 * offers * 512 runs are 131,072 entries, eight of which a walk without sorting passes in a step. */
#define STEPS_BEYOND (16 * 1024)

/* ---- the lane port ---- */

/* Threads that serve lanes, besides the acceptor. One core each is what they use. */
#define LANE_THREADS_MAX 16
/* Changes of one lane thread that wait for the disk at once, each with a session. */
#define LANE_CHANGES_MAX 128
/* Changes that wait for such a place before the next is refused with QUEUE_FULL: at 20,000 changes
 * a second a line of 1,024 is 50 ms. */
#define LANE_PARKED_MAX 1024
/* Items of uploads that one lane thread has with the writer at once: a group holds up to 512
 * entries, so a backlog takes a five-hundredth of a full one for each thread. */
#define LANE_UPLOADS_MAX 1
/* Connections of one lane thread. 16 KiB each while they rest: 64 MiB. */
#define LANE_CONNECTIONS_MAX 4096
/* Calls that one connection may have open, and what their requests may hold in memory together:
 * 32 of the largest. */
#define LANE_CALLS_MAX 256
#define LANE_BUFFERED_BYTES_MAX (8 * 1024 * 1024)
/* One message of a lane stream: a request above REQUEST_BYTES_MAX is refused by its id as long as
 * it is below this; above, the stream ends. */
#define LANE_STREAM_MESSAGE_BYTES_MAX (512 * 1024)
/* One header block, as sent and unpacked. A call of grpcio sends some 300 bytes. */
#define LANE_HEADER_BYTES_MAX (16 * 1024)
/* Frames that continue one header block: 16 KiB fit into one frame; some clients cut smaller. */
#define LANE_CONTINUATIONS_MAX 8
/* Frames a second on one connection that do no work for a lane; a flood has a hundred thousand.
 * Resets: a lane that gives up 64 calls at once, some times over. Pings: clients that measure the
 * round trip send one each. */
#define LANE_SETTINGS_A_SECOND_MAX 32
#define LANE_PINGS_A_SECOND_MAX 2000
/* Acknowledgements that wait to be sent. Nothing is read while they do, so one read's at most: a
 * second's pings and settings, for which the read that goes beyond them is not handed on. */
#define LANE_ACKS_MAX (LANE_PINGS_A_SECOND_MAX + LANE_SETTINGS_A_SECOND_MAX + 1)
#define LANE_RESETS_A_SECOND_MAX 512
#define LANE_EMPTY_FRAMES_A_SECOND_MAX 2000
/* Window updates: at most two a call, and 100,000 calls a second on one connection. */
#define LANE_WINDOW_UPDATES_A_SECOND_MAX 400000
/* Read and written at once; a frame of HTTP/2 has at most 16 KiB by default. */
#define LANE_READ_BYTES (64 * 1024)
#define LANE_WRITE_BYTES (256 * 1024)
/* What a connection may send before windows open: one stream, and all of them together. */
#define LANE_STREAM_WINDOW_BYTES 65535
#define LANE_CONNECTION_WINDOW_BYTES (1024 * 1024)
/* Requests of one lane stream that may be open at once. */
#define LANE_STREAM_OPEN_MAX 1024
/* Sockets that the acceptor listens at. */
#define LANE_LISTENERS_MAX 16

#endif
