/* What the engine's own rooms share: engine.c, identify.c, sale.c, counters.c, held.c,
 * dates.c, exchange.c, no_receipt.c, foreign.c, reprice.c, undo.c, member.c. */
#ifndef CHECKLANE_ENGINE_INTERNAL_H
#define CHECKLANE_ENGINE_INTERNAL_H

#include "capsule.h"
#include "engine.h"
#include "progress.h"

/* The snapshots that answer now. Immutable once published; `members` may be NULL. */
typedef struct live {
    const program_t *program;
    const catalogue_t *catalogue;
    const members_t *members;
} live_t;

/* Offers stopped by hand, ascending. Immutable once published; freed with the engine, because
 * stops are rare and made by hand. */
typedef struct stopped {
    struct stopped *older;
    uint32_t count;
    uint64_t keys[];
} stopped_t;

/* The entry that a void or return works from, copied out of the journal by the caller's thread
 * so that the writer does not wait for the disk. Position 0: a sale that was not seen. */
typedef struct original {
    uint64_t position;
    uint64_t claim;      /* position of its claim, whose movements and account are among these; 0 */
    record_key_t record; /* where the sale is bound, or a tombstone waits for it */
    uint64_t account_group;
    uint64_t member;
    int32_t business_date;
    int32_t counted_date;   /* for which it counts: later where that was closed */
    uint64_t member_group;  /* under which the member's own record is; see follow_merges */
    uint64_t confirmed_key; /* of the lots that were confirmed; 0: none was */
    uint32_t movement_count;
    uint32_t sold_count;
    bool took_back;         /* goods came back in its basket */
    bool is_foreign;        /* not seen here: known by its capsule; position 0 */
    movement_t movements[2 * MOVEMENTS_MAX];
    sold_line_t sold[BASKET_LINES_MAX];
} original_t;

/* One line that comes back, as the rules have it. */
typedef struct asked_back {
    const sold_line_t *sold;
    int64_t before;         /* units that came back earlier, */
    int64_t refunded_minor; /* and what was refunded then */
    int64_t count;
    int64_t refund_minor;
} asked_back_t;

/* What is kept of session->original, as it is priced now: reprice.c. */
typedef struct repriced {
    bool is_used;           /* else what comes back is prorated, */
    bool is_not_kept;       /* as the program of the sale is not kept */
    uint64_t receipt_lsn;   /* of the receipt's record by which it was decided */
    bytes_t kept;           /* its lines as they are answered */
    uint32_t line[BASKET_LINES_MAX]; /* index in session->basket, by original.sold */
    asked_back_t back[BASKET_LINES_MAX];
} repriced_t;

/* Goods of session->original that come back in the basket at hand. */
typedef struct exchange {
    uint32_t count;         /* of lines that name them; 0: none does */
    status_t refused;       /* paid, and yet nothing can come back for this */
    uint32_t refused_line_id;
    uint32_t first_movement;
    uint32_t moved_count;
    const movement_t *moved; /* by the return, in the entry */
    uint64_t posted_group;   /* of the sale */
    bytes_t told;            /* the reversal as it is answered */
    uint32_t sent[BASKET_LINES_MAX]; /* index of each in the basket as it was sent */
    uint32_t line[BASKET_LINES_MAX]; /* and in session->basket */
    return_line_t asked[BASKET_LINES_MAX];
    uint8_t reversal[REVERSAL_BYTES_MAX];
} exchange_t;

#define HOLD_TEXTS 4
#define HOLD_TEXT_OWNER 0
#define HOLD_TEXT_BASKET_ID 1
#define HOLD_TEXT_STORE_ID 2
#define HOLD_TEXT_TILL_ID 3

/* A hold as it is at post_time. The record lives as long as the view. */
typedef struct hold {
    uint64_t number;
    uint8_t kind;             /* HOLD_KIND_ */
    uint8_t state;            /* HOLD_STATE_, EXPIRED too */
    uint8_t purse;            /* of a hold of points; 0: none or several */
    int32_t day;
    uint32_t referring;       /* bits of LIMIT_SCOPE_ GROUP, MEMBER, CARD */
    uint64_t owner_key;
    int64_t expire_post_ms;
    int64_t create_post_ms;
    uint64_t account_group;   /* where its references are now: merges are followed; 0: nobody's */
    uint64_t member;
    uint64_t member_group;    /* under which the member's own record is */
    hash128_t card;
    uint64_t store_key;
    uint64_t offer;
    int64_t uses;             /* left */
    record_t record;
    uint8_t text_bytes[HOLD_TEXTS];
    uint8_t texts[HOLD_TEXTS][ID_BYTES_MAX];
} hold_t;

/* What a sale is to spend of a hold that it names, at least. */
typedef struct capture {
    bool is_open;             /* else the hold is none that it could spend */
    bool is_ended;            /* by itself, and may be spent all the same */
    int64_t points;
    int64_t uses;
} capture_t;

/* A fill of the basket at hand that names an authorisation: fuel.c. */
typedef struct fill {
    uint32_t line;            /* as sent */
    bool is_first;            /* no line before it names the same */
    hold_t hold;              /* number 0: there is none */
} fill_t;

/* A coupon that can be used once, as a hold keeps it. */
typedef struct held_coupon {
    hash128_t id;             /* of code and serial */
    uint64_t offer;           /* key of the offer that it opens */
    uint32_t serial_bytes;
    uint8_t serial[VALUE_BYTES_MAX];
} held_coupon_t;

/* Where a member is. */
typedef struct place {
    bool is_known;
    uint64_t account_group;
    uint16_t flags;         /* MEMBER_FLAG_ */
    uint16_t birth_month;
    uint16_t birth_day;
    uint64_t lsn;           /* version of the overlay's row; 0: the snapshot's */
    uint64_t merged_into;   /* the member that this one became; 0: none */
    const member_record_t *record; /* NULL: not in the snapshot */
} place_t;

/* Whose account something is posted to; zeros: nobody's. */
typedef struct account {
    uint64_t member;
    uint64_t account_group;
} account_t;

/* An entry's facts, pointing into its bytes. */
typedef struct entry_facts {
    facts_header_t header;
    uint64_t group_lsn;
    uint64_t member_lsn;
    const cell_t *group_cells;
    const cell_t *member_cells;
    const uint64_t *wallet;
    const uint64_t *stopped;
    const sold_line_t *sold;
    const found_record_t *found;
    const shared_counter_t *shared;
    const fuel_right_t *rights;
    uint64_t right_count;
    total_facts_t total;          /* zeros for a sale that named no total */
    const cell_t *posted_cells;
    const missing_t *missing;
    const captured_t *captured;
    bytes_t total_request;
    exchange_facts_t exchange;    /* zeros where nothing comes back */
    const refund_t *refunds;
    bytes_t reversal;
    claim_facts_t claim;          /* zeros but for a claim */
    bytes_t claim_request;        /* of the sale that was claimed; and its facts */
    bytes_t claim_facts;
} entry_facts_t;

/* The total that a commit names, or the sale that is claimed, copied out of the journal by the
 * caller's thread. */
typedef struct total {
    uint64_t position;        /* of its entry; 0: the sale at hand is decided */
    uint64_t lsn;
    bytes_t request;
    entry_facts_t facts;
    uint32_t facts_size;      /* of facts_bytes; of a sale that is claimed */
    uint8_t request_bytes[REQUEST_BYTES_MAX];
    _Alignas(8) uint8_t facts_bytes[FACTS_BYTES_MAX];
} total_t;

/* A program that was live once, and how many sessions use it. See kept.c. */
typedef struct kept {
    live_t live;
    uint32_t holders;
    uint64_t asked;
} kept_t;

/* Scratch of one call. A change's caller sleeps while the writer prepares it, so the writer may
 * use the caller's session, its reply and its fault: the push of the change hands them over
 * (release, acquire) and the answer hands them back the same way (ledger.c, "Who owns what"). */
struct session {
    engine_t *engine;
    struct session *next_free;
    ledger_reader_t *reader;
    _Atomic(const live_t *) pinned;
    const live_t *live;
    kept_t *kept;            /* that `live` is of; NULL: none */
    live_t then;             /* with the members of now: `live` while `kept` is set */
    const stopped_t *stopped;
    reply_t *reply;
    fault_t *fault;
    void *scratch;
    uint32_t found_count;
    uint32_t cell_count;
    uint64_t versions[4];    /* applied_lsn of identity, place, group and member record */
    hash128_t member_identity; /* of the identifier that found the member */
    place_t place;             /* where identify_all found it */
    uint8_t member_identity_kind;
    bool is_provisional_new;
    bool is_left;            /* the reader was left, not unpinned: session_rest */
    bool is_seen_late; /* a sale was entered or claimed while what undoes it was on its way */
    bool is_voided_before;       /* commit: a void of this receipt came first */
    bool is_late;                /* commit: judged by the program that was live at its time */
    bool is_taken_paid;          /* commit: paid, whatever it says; see is_paid */
    int64_t deadline_monotonic_ns; /* of changes; 0: none */
    uint32_t degraded_level;       /* of a quote */
    /* Set: changes are posted instead of waited for (call_order_t.done). */
    void (*done)(void *context);
    void *done_context;
    change_t change;
    const accounts_view_t *view; /* that the decision at hand reads; NULL: an entry's facts */
    int64_t post_unix_ms; /* of the reading at hand; 0: not asked for yet (post_time) */
    uint32_t own_hold_count;
    uint64_t own_holds[OWN_HOLDS_MAX]; /* do not count against the decision at hand */
    uint32_t fill_count;
    fill_t fills[FUEL_FILLS_MAX];
    uint32_t right_count;
    fuel_right_t rights[FUEL_RIGHTS_MAX]; /* facts.rights */
    const accounts_view_t *own_view; /* where own_total is yet to look; NULL: it has, or need not */
    hold_t holds[HOLDS_MAX]; /* whose texts the answers point to */
    hold_answer_t hold_answers[HOLDS_MAX];
    uint64_t held_mark; /* of the holds that count against what was read for a member */
    facts_t facts;
    facts_t sold_facts;       /* of a claim: by which the sale was decided */
    claim_facts_t claim;
    uint32_t claim_days;      /* that the live program allows */
    int64_t withheld[PROGRESS_MAX]; /* by decision.progressed: what a claim does not give */
    found_t found[IDENTIFIERS_MAX];
    uint32_t shared_count;
    shared_counter_t shared[SHARED_COUNTERS_MAX]; /* that the decision has read */
    uint64_t wallet[WALLET_MAX];
    balance_t balances[PURSES_MAX];
    points_t points[3 * PURSES_MAX];
    exception_t exceptions[BASKET_LINES_MAX + PURSES_MAX + SELECTIONS_MAX + COUPONS_MAX + 1
                           + MISSING_MAX + BASKET_LINES_MAX + 2 * PURSES_MAX];
    reversed_line_t reversed[BASKET_LINES_MAX];
    cell_t cells[RECORD_CELLS_MAX]; /* working copy of a group's cells; cell_count of them */
    cell_t free_group[RECORD_CELLS_MAX];  /* without what is held: facts.group_cells where */
    cell_t free_member[RECORD_CELLS_MAX]; /* something is; and facts.member_cells */
    cell_t undo_group[RECORD_CELLS_MAX];  /* of the group that is taken from */
    cell_t undo_kept[RECORD_CELLS_MAX];   /* the working copy while another group's is worked on */
    wire_t wire;
    basket_t basket;
    decision_t decision;
    serial_t serials[ISSUED_MAX]; /* of the coupons that the sale at hand issues */
    original_t original;
    capsule_t capsule;           /* of the sale at hand, or of what comes back */
    uint8_t capsule_bytes[CAPSULE_BYTES_MAX];
    const return_line_t *asked;  /* what comes back of it */
    uint32_t asked_count;
    bool is_refund_paid;         /* it was paid out as asked */
    bool are_points_settled;     /* at the node where it came back */
    exchange_t exchange;
    repriced_t repriced;
    total_t total;
    cells_t posted;           /* the group's cells that the sale at hand is posted to */
    uint32_t missing_count;   /* what the sale at hand can not honour of its total */
    missing_t missing[MISSING_MAX];
    int32_t counted_date;     /* for which the sale at hand counts */
    capture_t captures[HOLD_CAPTURES_MAX]; /* of session->holds, as the commit at hand names them */
    uint32_t captured_count;
    captured_t captured[HOLD_CAPTURES_MAX]; /* what they spend beyond what pays */
    shared_counter_t counts[COUNTED_MAX]; /* that the total at hand keeps */
    held_coupon_t held_coupons[COUPONS_MAX]; /* that the hold at hand keeps */
    uint8_t held_serials[HOLDS_MAX][VALUE_BYTES_MAX]; /* that hold_answers point to */
    uint8_t facts_bytes[CLAIM_FACTS_BYTES_MAX];
};

struct engine {
    engine_options_t options;
    char data_directory[PATH_BYTES_MAX];
    int lock;
    ledger_t *ledger; /* NULL until the first program is live */
    _Atomic(const live_t *) live;
    _Atomic(const stopped_t *) stopped;
    /* Held by an activation while it waits for calls to let go of the old set: so no call may
     * wait for it. Calls that stop offers have a lock of their own. */
    pthread_mutex_t activation;
    pthread_mutex_t stops_mutex;
    pthread_mutex_t kept_mutex;
    kept_t kept[KEPT_MAX];
    uint64_t kept_asked;
    pthread_mutex_t sessions_mutex;
    pthread_cond_t session_freed;
    session_t *free_sessions;
    session_t *sessions[SESSIONS_MAX];
    uint32_t calls_under_way; /* those that wait for a session among them */
    bool is_closing;
};

/* Key of an account record in this node's partition. */
static inline record_key_t key_of(const session_t *session, uint8_t family, uint64_t hi,
                                  uint64_t lo)
{
    return record_key(family, (uint16_t)session->engine->options.partition, hi, lo);
}

/* Monotonic and wall clocks. */
int64_t wall_unix_ms(void);

/* Days since 1970-01-01 of an instant at an offset; rounds towards the past. */
int32_t day_of_unix_ms(int64_t unix_ms, int32_t utc_offset_minutes);

/* ---- identify.c ---- */

/* Hash that finds an identifier: keyed hash of "kind:normalised value" (the same normalisation as
 * the feeds'). {0, 0} for a value that the feeds would reject, and for a kind without a hash (a
 * member id, which is a number by itself). */
hash128_t identity_hash(const engine_t *engine, int64_t kind, bytes_t value);

/* Number of a member or group id: first word of the keyed hash of "space:id", never 0. */
uint64_t number_of_id(const engine_t *engine, const char *space, bytes_t id);

/* Overlay before snapshot. */
place_t find_place(const session_t *session, const accounts_view_t *view, uint64_t member);

/* The place of what `*member` has become, through all merges; `*member` is then that one. */
place_t find_survivor(const session_t *session, const accounts_view_t *view, uint64_t *member);

/* The group to which a group's points went, through all merges. */
uint64_t find_group(const session_t *session, const accounts_view_t *view, uint64_t group);

/* Who referred a member, by its own cells or the feed; 0: nobody. Merged or not. */
uint64_t referrer_of(const session_t *session, uint64_t member, cells_t own);

/* REFERRER_ of session->facts.member; `place` is where the points of whoever it was go. */
int64_t find_referrer(const session_t *session, const accounts_view_t *view, place_t *place);

/* Member that an identifier belongs to, or 0, merged or not; *lsn is the overlay row's version. A
 * value that is no identifier belongs to nobody. */
uint64_t find_identified(const session_t *session, const accounts_view_t *view, int64_t kind,
                         bytes_t value, hash128_t *hash, uint64_t *lsn);

/* Fills session->found for every identifier and chooses the member: the first that found one in
 * that role. The rest of the facts comes from fill_member_facts. */
void identify_all(session_t *session, const accounts_view_t *view,
                  const sent_identifier_t *identifiers, uint32_t count);

/* Fills facts.member, group, record, cells, wallet from the view, and session->versions. The
 * cells live as long as the view. */
void fill_member_facts(session_t *session, const accounts_view_t *view, int32_t today);

/* The same behind identify_all in the same view, which has found the place already. */
void fill_found_facts(session_t *session, const accounts_view_t *view, int32_t today);

/* The offers in the wallet of session->facts as answers tell them, those that a progress granted
 * among them. Returns how many. */
uint32_t list_wallet(const session_t *session, wallet_offer_t wallet[WALLET_MAX]);

/* Works on a copy of a group's cells: session->cells. `add_cell` lays one over it as the ledger
 * will add it; a full copy only misses it, for it serves answers and no state. */
void copy_cells(session_t *session, const cell_t *cells, uint32_t count);
void add_cell(session_t *session, cell_t cell);

/* The date at the sender's store at an instant. */
int32_t day_at_sender(const session_t *session, int64_t unix_ms);

status_t call_identify(session_t *session);

/* ---- counters.c ---- */

/* facts_t.read_shared; the context is the session. Notes what it answers in session->shared. */
int64_t read_shared(void *context, const shared_counter_t *counter);

/* What was given of a counter, and is held, whoever it counts for: of groups and members by these
 * cells of theirs. What is left of a grant is less than nothing given. */
int64_t count_given(session_t *session, const accounts_view_t *view, cells_t group,
                    cells_t member, const shared_counter_t *counter);

/* Reads every noted counter again; true when what one of them leaves for this basket is not what
 * was decided on. */
bool read_shared_again(session_t *session, const accounts_view_t *view);

/* Counts what the decision gives, whoever it is counted for. */
status_t move_counters(session_t *session, const accounts_view_t *view, entry_builder_t *entry);

/* What the sale adds to every progress, and the uses that goals grant. */
status_t move_progress(session_t *session, entry_builder_t *entry);

/* Takes up to SWEPT_MAX - *swept cells out of a record that nothing can read any more. */
status_t sweep_record(const session_t *session, entry_builder_t *entry, record_key_t key,
                      const cell_t *cells, uint32_t count, uint32_t *swept);

/* Makes one lot of those that have one purse, one expiry and have been active for long. */
status_t join_lots(const session_t *session, entry_builder_t *entry, record_key_t key,
                   const cell_t *cells, uint32_t count, uint32_t *swept);

/* ---- held.c ---- */

/* What is to be held, for session->facts.member and its group (or nobody) and the card that found
 * the member: place_hold. */
typedef struct hold_draft {
    uint8_t kind;             /* HOLD_KIND_ */
    uint8_t purse;            /* of a hold of points; 0: none or several */
    int32_t day;              /* business day: the lots that are active then back it */
    int64_t expire_post_ms;
    uint64_t store_key;       /* of the store that asks */
    uint64_t offer;           /* key of the offer whose uses are held; 0 none */
    int64_t uses;
    bytes_t owner, basket_id, store_id, till_id; /* at most ID_BYTES_MAX each */
    int64_t points[PURSES_MAX + 1];              /* by purse */
    const shared_counter_t *counts; /* `given` is kept of each; scopes also MEMBER and */
    uint32_t count_count;     /* GROUP, COUNT_SCOPE_GRANT; at most COUNTED_MAX of them */
    uint32_t coupon_count;    /* at most COUPONS_MAX */
    const held_coupon_t *coupons;
    const fuel_right_t *rights; /* of HOLD_KIND_FUEL: at most FUEL_OFFERS_MAX */
    uint32_t right_count;
} hold_draft_t;

/* Post time of the reading at hand: the writer's entry, else the ledger's at the first asking. */
int64_t post_time(session_t *session);

/* Whether a hold is one of session->own_holds, among which the basket's total comes where a quote
 * asks for it: most meet no hold, and look for none. */
bool is_own_hold(session_t *session, uint64_t number);

uint64_t hold_owner_key(bytes_t owner, uint64_t store_key);

/* The cells of a group or member without what open holds keep, own ones left out: the record's own
 * where nothing is held, else `copy`: lots have what is kept in `other`, counters have it in
 * `value`, references are gone but those that are past. Adds to *mark, so that the writer sees when
 * one has ended since. Cost without references: one look. */
cells_t read_free(session_t *session, record_t record, cell_t copy[RECORD_CELLS_MAX],
                  uint64_t *mark);

/* Whether an open hold keeps the coupon of this record, own ones left out. */
bool is_coupon_held(session_t *session, record_t record);

/* Fills what a hold keeps of coupon `index` of session->basket, which opens the offer. `serial` is
 * what was sent beside its code; a scanned one brings its own. */
void name_held_coupon(const session_t *session, uint32_t index, bytes_t serial, uint64_t offer,
                      held_coupon_t *coupon);

/* The coupons that a hold was made with. Returns how many. */
uint32_t list_held_coupons(const hold_t *hold, held_coupon_t coupons[COUPONS_MAX]);

/* What open holds keep of a card's, store's or everybody's counter, own ones left out. */
int64_t held_of_counter(session_t *session, const accounts_view_t *view, record_t record,
                        const shared_counter_t *counter);

/* Whether a cell of a record is a reference to a hold that is past. */
bool is_past_held(uint8_t family, const cell_t *cells, uint32_t count, const cell_t *cell,
                  int64_t post_unix_ms);

/* The hold of that number; false: there is none. */
bool read_hold(session_t *session, const accounts_view_t *view, uint64_t number, hold_t *hold);
bytes_t hold_text(const hold_t *hold, uint32_t text);

/* Points of a purse that the hold still keeps. */
int64_t held_points(const hold_t *hold, uint8_t purse);

/* The holds of a basket, those that have ended by themselves among them. Returns how many. */
uint32_t list_basket_holds(session_t *session, const accounts_view_t *view, uint64_t store_key,
                           bytes_t basket_id, uint64_t numbers[HOLDS_MAX]);

/* The number of the total of a basket, ended by itself or not; 0: none. */
uint64_t find_total_hold(session_t *session, const accounts_view_t *view, uint64_t store_key,
                         bytes_t basket_id);

/* Takes a hold out of its basket's list, as one that ended by itself stays in there. */
status_t unlist_hold(session_t *session, const accounts_view_t *view, entry_builder_t *entry,
                     uint64_t store_key, bytes_t basket_id, uint64_t number);

/* Makes a hold; its number is the entry's LSN, so there is one in an entry. That what is held is
 * there has been judged by the caller. RECORD_CEILING: HOLDS_MAX are open, or a record is full. */
status_t place_hold(session_t *session, const accounts_view_t *view, entry_builder_t *entry,
                    const hold_draft_t *draft);

/* Ends a hold that is open: it keeps nothing any more. What was spent of it the caller burns and
 * counts in the same entry. Not for one that has ended by itself: sweeps take the rest of it. */
status_t end_hold(const session_t *session, entry_builder_t *entry, const hold_t *hold,
                  uint8_t state);

/* A hold that has ended by itself and is spent all the same is captured from then on, so that
 * nobody spends it again. It kept nothing any more: only its head changes. */
status_t spend_ended(const session_t *session, entry_builder_t *entry, const hold_t *hold);

/* Burns points out of the lots that back an open hold, as far as it keeps them; counts uses where
 * it keeps them. It keeps them until end_hold or take_held_. */
status_t burn_held(session_t *session, const accounts_view_t *view, entry_builder_t *entry,
                   const hold_t *hold, uint8_t purse, int64_t points);
/* Uses that stand in counted[0 .. count) already are counted there, and are taken out of it. Adds
 * to *taken what of the hold is counted in either place. */
status_t count_held(const session_t *session, entry_builder_t *entry, const hold_t *hold,
                    int64_t uses, shared_counter_t *counted, uint32_t count, int64_t *taken);

/* Takes a part out of what an open hold keeps; it stays open. */
status_t take_held_points(const session_t *session, entry_builder_t *entry, const hold_t *hold,
                          uint8_t purse, int64_t points);
status_t take_held_uses(const session_t *session, entry_builder_t *entry, const hold_t *hold,
                        int64_t uses);

/* A record's cells with what an entry moves in them, and without what is then held: for answers,
 * which tell what nobody sees before it is on the disk. Uses session->cells. */
cells_t lay_entry(session_t *session, const accounts_view_t *view, const entry_builder_t *entry,
                  record_key_t key, cell_t copy[RECORD_CELLS_MAX]);

/* Lets an open hold end later. */
status_t extend_hold(const session_t *session, entry_builder_t *entry, hold_t *hold,
                     int64_t expire_post_ms);

/* ---- hold.c ---- */

/* Adds to session->hold_answers[0 .. count) what a hold keeps, as answers tell it: a line for each
 * purse, at least one. Returns how many there are then. */
uint32_t tell_hold(session_t *session, const hold_draft_t *draft, uint64_t number, uint8_t state,
                   int64_t create_unix_ms, uint32_t count);

/* Fills session->hold_answers with the open holds of the member's group, oldest first; they live
 * as long as the session's next call. Returns how many. */
uint32_t list_holds(session_t *session, const accounts_view_t *view);

/* The holds that the commit at hand names do not count against it. */
void own_captures(session_t *session, const accounts_view_t *view);

/* The writer: what is to be spent of the holds that the commit names, in session->captures and
 * captured. Refuses what can not be; of a paid sale session->missing says what that is. */
status_t judge_captures(session_t *session, const accounts_view_t *view, const account_t *account);

/* Spends the holds as judged: behind move_burns. */
status_t move_captures(session_t *session, entry_builder_t *entry);

status_t call_create_hold(session_t *session);
status_t call_capture_hold(session_t *session);
status_t call_release_hold(session_t *session);
status_t call_extend_hold(session_t *session);

/* ---- fuel.c ---- */

/* What a fuel authorisation keeps in its record beside what it holds. Returns how many cells. */
uint32_t list_promised(const session_t *session, const fuel_right_t *rights, uint32_t count,
                       cell_t cells[FUEL_OFFERS_MAX + 2]);

/* FIELD_OUT_OF_RANGE where more than FUEL_FILLS_MAX lines name an authorisation. */
status_t check_fills(session_t *session, const sent_basket_t *sent);

/* Reads the authorisations that the basket at hand names: session->fills. Open ones do not count
 * against it. Behind own_total and own_captures. */
void own_fills(session_t *session, const accounts_view_t *view);

/* What they promise to session->facts.account_group: session->rights, and use_rights. */
void take_rights(session_t *session);

/* Puts session->rights before the decision: facts.rights, and the points that pay by them. */
void use_rights(session_t *session);

/* Makes session->live the program and catalogue of the first authorisation that the basket names.
 * False: it names none, or they are not kept, which session->missing then says. */
bool use_promised_program(session_t *session);

/* The writer: HOLD_UNKNOWN or HOLD_CLOSED where a fill names what it can not have; of a paid sale
 * session->missing says so, and of any sale when an authorisation has ended by itself. */
status_t judge_fills(session_t *session, const account_t *account);

/* Ends the authorisations of the sale. */
status_t move_fills(session_t *session, entry_builder_t *entry);

status_t call_authorize_fuel(session_t *session);

/* ---- facts.c ---- */

/* What a line of the basket was sold for; false: goods came back in it. */
bool sold_line(const session_t *session, uint32_t line, sold_line_t *sold);

/* Fills session->facts_bytes with all that the decision read; returns how many bytes. */
uint32_t write_facts(session_t *session);

/* The way back; false when the bytes are not the facts of a commit. `bytes` is 8-byte aligned. */
bool read_facts(bytes_t bytes, entry_facts_t *facts);

/* Puts an entry's facts in the place of what a decision would read. */
void restore_facts(session_t *session, const entry_facts_t *from);

/* Puts the facts of a sale, session->total.facts, in session->sold_facts, for a claim to decide by;
 * session->facts were resolved for its basket. */
void restore_sold_facts(session_t *session);

/* Decides the commit request in session->wire once more, from the facts of its entry, and writes
 * the answer as it was then. session->live holds the program and catalogue that the facts name;
 * `movements` are the entry's. */
status_t decide_again(session_t *session, const entry_header_t *entry, const entry_facts_t *from,
                      const movement_t *movements);

/* ---- sale.c ---- */

/* Whether the money of the sale at hand has changed hands: it says so, or comes late. */
static inline bool is_paid(const session_t *session)
{
    return session->wire.commit.paid != 0 || session->is_taken_paid;
}

/* Store, products, runs and times from the live catalogue. A paid sale is not refused for an
 * offer that is unknown. */
status_t resolve_basket(session_t *session, bool is_paid);

/* Runs the evaluator over session->basket and session->facts. */
status_t decide(session_t *session);

/* What the lane gave against what we decided. STATUS_DECISION_CHANGED where it asked for that. A
 * sale that was voided before is not compared. */
status_t compare_figures(session_t *session, uint32_t *exception_count);

/* Writes the answer to a commit; `capsule` may be empty. */
status_t write_commit(session_t *session, const posting_t *posting, uint32_t exception_count,
                      bytes_t capsule);

/* What was taken off a line: as decided, or for a paid sale whose lines the lane tells, as sold. A
 * return refunds what was paid. */
int64_t sold_discount_minor(const session_t *session, uint32_t line);

/* Takes points and counters out of a decision: a sale that was voided before it came. */
static inline void give_nothing(decision_t *decision)
{
    decision->award_count = 0;
    decision->redemption_count = 0;
    decision->counted_count = 0;
    decision->progressed_count = 0;
    decision->issued_count = 0;
    decision->referral_count = 0;
}

status_t call_quote(session_t *session);
status_t call_commit(session_t *session);

/* Counts and gives what was decided to the account in session->facts; what was earned is noted at
 * the receipt. */
status_t move_sale(session_t *session, const accounts_view_t *view, entry_builder_t *entry,
                   record_key_t receipt);

/* Balances on a day, after the decision: the posted cells without what paid, with the awards on
 * top. Fills session->balances and returns how many. */
uint32_t balances_after(session_t *session, int32_t day);

/* engine_time_decisions, once the request was read. */
status_t time_decisions(session_t *session, uint32_t count, uint32_t *nanoseconds,
                        uint64_t *steps);

/* The parts of a sale that totals share. */
status_t judge_basket(session_t *session, const sent_basket_t *sent);
void gather(session_t *session, const accounts_view_t *view);
bool gather_again(session_t *session, const accounts_view_t *view);
decision_answer_t decision_answer(const session_t *session, bytes_t locale);

/* Takes points out of the lots of the working copy that are active on a day, the earliest expiry
 * first (the order of cells); with an entry as movements too. Returns how many are not there. */
int64_t move_burn(session_t *session, entry_builder_t *entry, uint8_t purse, int32_t day,
                  int64_t points, status_t *status);

/* R5: the points that pay leave a working copy of session->posted. */
status_t move_burns(session_t *session, entry_builder_t *entry);

/* Burns what a hold spends beyond that out of what move_burns left. Returns as move_burn. */
int64_t burn_captured(session_t *session, entry_builder_t *entry, const captured_t *captured,
                      status_t *status);

/* ---- total.c ---- */
status_t call_total(session_t *session);

/* Finds the total that the commit request in session->wire names: session->total, and
 * session->basket as it was totalled. Where there is none that it could post, DECISION_CHANGED; a
 * paid sale is then decided as if it named none, and session->missing says so. */
status_t load_total(session_t *session);

/* Reads what was totalled into session->basket, and the hash of its goods where that is asked for;
 * session->wire keeps the commit request. */
status_t read_totalled(session_t *session, bytes_t request, hash128_t *goods);

/* The writer: whether all that the total promised is there. DECISION_CHANGED where not; for a paid
 * sale session->missing says what. `account` becomes whose account the sale is posted to. */
status_t judge_total(session_t *session, const accounts_view_t *view, account_t *account);

void note_missing(session_t *session, missing_t missing);

/* What is missing as exceptions, behind the `count` that there are. Returns how many there are. */
uint32_t list_missing(session_t *session, uint32_t count);

/* What the open total of the basket at hand keeps does not count against the basket. */
void own_total(session_t *session, const accounts_view_t *view);

/* The writer: the basket at hand has no total any more: it was sold, or totalled anew. */
status_t close_total(session_t *session, const accounts_view_t *view, entry_builder_t *entry,
                     uint8_t state);

/* ---- kept.c ---- */

/* Makes session->live the program and catalogue of these hashes, until let_program_go.
 * STATUS_IO_FAILED and others of opening: they are not kept. */
status_t use_program(session_t *session, const uint8_t program_hash[16],
                     const uint8_t catalogue_hash[16]);

/* The same with what was live at an instant. STATUS_SNAPSHOT_UNKNOWN: that is not known any more,
 * or nothing was. */
status_t use_program_then(session_t *session, int64_t unix_ms);

/* session->live is what is live now again. */
void let_program_go(session_t *session);
void close_programs(engine_t *engine);

/* Notes in an entry since when a program is live; one that stays is not noted again. */
status_t note_live(const engine_t *engine, const accounts_view_t *view, entry_builder_t *entry,
                   const live_t *live);

/* Whether the program is the one that was noted last. */
bool is_noted_live(session_t *session, const live_t *live);

/* ---- dates.c ---- */

/* The last business date of a store that is closed; 0: none is. */
int32_t closed_date(const session_t *session, const accounts_view_t *view, bytes_t store_id);

/* For which date a change of that business date counts: the date, or where that is closed the first
 * that is open. */
int32_t open_date(const session_t *session, const accounts_view_t *view, bytes_t store_id,
                  int32_t date);

/* What an entry says of its business date where it counts for another; else 0. */
static inline int32_t own_date(int32_t date, int32_t counted_date)
{
    return date == counted_date ? 0 : date;
}

status_t call_close_date(session_t *session);

/* ---- exchange.c ---- */

/* What is wrong by form with the lines of a basket that name what they give back. */
status_t check_exchange(session_t *session, const sent_basket_t *sent);

/* Nothing comes back in the basket at hand, as far as is known. */
void begin_exchange(session_t *session);

/* Finds the lines that name what they give back, and that sale: session->exchange. Behind
 * resolve_basket and load_total, without a view pinned. */
status_t load_exchange(session_t *session);

/* The lines' amounts in session->basket become what the rules refund, unless that was paid out.
 * *is_changed: one was another. Of a sale that was paid, what can not come back is passed over. */
status_t judge_exchange(session_t *session, const accounts_view_t *view, bool *is_changed);

/* A paid sale whose goods can not come back says so. */
void note_exchange(session_t *session);

/* The writer: takes the goods back, behind what the sale moves and its exceptions. */
status_t move_exchange(session_t *session, const accounts_view_t *view, entry_builder_t *entry,
                       const account_t *account, uint32_t exception_count);

/* ---- no_receipt.c ---- */

/* RETURN_NOT_ALLOWED where goods of the basket come back without a receipt and the program does not
 * let them; a sale that was paid may. Behind load_exchange and gather. */
status_t judge_unreceipted(session_t *session);

/* A paid sale that the program would not have let says so. */
void note_unreceipted(session_t *session);

/* ---- reprice.c ---- */

/* Decides what is kept of session->original without session->asked: session->repriced. */
status_t reprice(session_t *session);

/* ---- foreign.c ---- */

/* The capsule of the sale at hand, where it asks for one and one can hold it, in
 * session->capsule_bytes; `movements` are its entry's. */
bytes_t issue_capsule(session_t *session, const account_t *account, const movement_t *movements,
                      uint32_t movement_count);

/* load_original; a sale that was not seen here is what its capsule says, unless that is empty.
 * CAPSULE_INVALID, CAPSULE_EXPIRED at "receipt_capsule". Behind facts.business_day. */
status_t load_sold(session_t *session, const receipt_id_t *receipt, bytes_t capsule,
                   const char *place);

/* ---- undo.c ---- */

/* The line of the original that has this number; NULL: none. */
const sold_line_t *find_sold(const original_t *original, int64_t line_id);

/* What came back of a line before, by the record of its receipt; refund_minor is what could still
 * come. */
asked_back_t come_back(record_t receipt, const sold_line_t *sold);

/* Judges one of session->asked by the record of the original's receipt. */
status_t judge_asked(session_t *session, record_t receipt, uint32_t index, asked_back_t *back);

/* Takes session->asked back from session->original, which was not voided, by movements behind those
 * that the entry has. Exceptions stand behind the first `first_exception`. */
status_t take_goods_back(session_t *session, const accounts_view_t *view, entry_builder_t *entry,
                         uint32_t first_exception, int32_t business_date,
                         reversal_answer_t *answer);

/* The id of a purse. The live program may no longer declare it: it then has no name. */
bytes_t purse_id_of(const program_t *program, uint32_t purse);

/* round(amount * part / whole), half away from zero; nothing negative comes in. */
int64_t share_of(int64_t amount, int64_t part, int64_t whole);

/* Finds the sale that a receipt, or where `key` is not empty a key of its commit, names, with what
 * a claim of it moved: session->original. One that was not seen has position 0 and
 * RECEIPT_UNKNOWN. */
status_t load_original(session_t *session, const receipt_id_t *receipt, bytes_t key,
                       const char *place);

status_t call_void(session_t *session);
/* A void, return or confirmation, or a sale in which goods come back, whose earlier sale was
 * entered or claimed in between: it is found anew, as it is now. May be pending. */
status_t find_again(session_t *session);
status_t call_return(session_t *session);
status_t call_confirm_points(session_t *session);

/* ---- claim.c ---- */

/* Copies request and facts of the sale that session->original names; its position was checked. */
status_t copy_sale(session_t *session);

/* Reads what was sold into session->basket; session->wire keeps the request at hand. */
status_t read_sale(session_t *session);

status_t call_claim(session_t *session);

/* Decides a claim once more, from the facts of its entry, and writes the answer as it was then. The
 * claim's request is in `request`; session->live holds the program and catalogue of the sale. */
status_t claim_again(session_t *session, const entry_header_t *entry, const entry_facts_t *from,
                     bytes_t request);

/* ---- member.c ---- */
status_t call_enrol(session_t *session);
status_t call_get_member(session_t *session);
status_t call_update_member(session_t *session);
status_t call_link(session_t *session);
status_t call_activate_offer(session_t *session);
status_t call_stop_offer(session_t *session);
status_t call_adjust_account(session_t *session);
status_t call_merge_members(session_t *session);

/* ---- engine.c, for the rooms above ---- */

/* What an entry says of itself besides its request, its movements and its answer. */
typedef struct seal {
    uint16_t kind;            /* ENTRY_ */
    account_t account;
    int32_t business_date;    /* yyyymmdd, for which it counts; 0 none */
    int32_t own_date;         /* as it was sent, where that is another; else 0 */
    int64_t event_unix_ms;    /* when it happened at the lane; 0: when it was posted */
    const void *facts;
    uint32_t facts_bytes;
} seal_t;

/* Fills the entry, with what stands in the reply as its answer, where that could be written. */
status_t seal_entry(const session_t *session, entry_builder_t *entry, const seal_t *seal,
                    status_t written);

/* Where the entry is, as answers tell it. */
posting_t posting_of(const entry_builder_t *entry, int32_t business_date);

/* Fills key, content and method of session->change from the request that was read. */
void begin_change(session_t *session, uint32_t kind,
                  status_t (*prepare)(void *, const accounts_view_t *, entry_builder_t *));

/* STORE_UNKNOWN where the live catalogue does not have the sender's store. `place` is said when the
 * context does not name it. */
status_t check_sender(session_t *session, const char *place);

/* If the key (and receipt) answered this content before, copies that answer into the reply:
 * *is_answered. Whatever has become of the store and the program since, a repeat gets its answer.
 * Else `judged`, what was found at fault so far with a number below KEY_REUSED, goes first. In
 * training nothing is a repeat. */
status_t answer_repeat(session_t *session, status_t judged, bool *is_answered);

/* Hands the change to the writer and waits; copies the first answer on a repeat. Where the session
 * posts its changes STATUS_PENDING: the writer may be using the session, so hands off. */
status_t submit_change(session_t *session);

/* The list of stopped offers with one put in or taken out; NULL: out of memory. Made before the
 * stop is journalled, so that nothing can fail after. With `stops_mutex` held until it was
 * published or freed: the list changes in the order of the journal. */
stopped_t *make_stops(const engine_t *engine, uint64_t offer_key, bool is_stopped);
void publish_stops(engine_t *engine, stopped_t *stopped);

/* How many offers are stopped besides this one. */
uint32_t count_other_stops(const stopped_t *stopped, uint64_t offer_key);

/* Copies bytes into the reply. */
status_t reply_copy(reply_t *reply, const void *bytes, uint32_t size);

#endif
