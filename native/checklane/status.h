/* Every answer that is not a decision. One line a refusal, numbered once and for good, listed in
 * order of precedence: when two apply, the lower number is answered. Columns: name, number, gRPC
 * code, what to do. The message that a caller sees is "<what> at <place>: <remedy>". */
#ifndef CHECKLANE_STATUS_H
#define CHECKLANE_STATUS_H

/* gRPC codes: 0 OK, 2 UNKNOWN, 3 INVALID_ARGUMENT, 4 DEADLINE_EXCEEDED, 5 NOT_FOUND,
 * 6 ALREADY_EXISTS, 7 PERMISSION_DENIED, 8 RESOURCE_EXHAUSTED, 9 FAILED_PRECONDITION,
 * 10 ABORTED, 12 UNIMPLEMENTED, 13 INTERNAL, 14 UNAVAILABLE, 15 DATA_LOSS. */
#define STATUS_LIST(STATUS)                                                                       \
    STATUS(OK, 0, 0, "done")                                                                      \
    STATUS(METHOD_UNKNOWN, 1, 12, "call a method of the published contract")                      \
    STATUS(METHOD_NOT_BUILT, 2, 12, "this method is part of the contract but not served yet")     \
    STATUS(ENGINE_CLOSED, 3, 14, "the service is draining; retry with the same key")              \
    STATUS(PROGRAM_MISSING, 4, 9, "build and activate a program: checklane snapshot --help")      \
    STATUS(SENDER_NOT_ALLOWED, 9, 7, "name the store and till of the lane's own certificate")     \
    STATUS(REQUEST_TOO_LARGE, 10, 3, "send at most 262144 bytes")                                 \
    STATUS(REQUEST_MALFORMED, 11, 3, "send a protobuf message of the published contract")         \
    STATUS(TEXT_NOT_UTF8, 12, 3, "send text fields as valid UTF-8")                               \
    STATUS(TEXT_TOO_LONG, 13, 3, "shorten the text to the stated ceiling")                        \
    STATUS(FIELD_REQUIRED, 14, 3, "fill the field")                                               \
    STATUS(FIELD_OUT_OF_RANGE, 15, 3, "send a value in the range that the contract states")       \
    STATUS(ENUM_UNKNOWN, 16, 3, "send a value that the contract lists")                           \
    STATUS(TOO_MANY_ITEMS, 17, 3, "send at most as many items as the contract states")            \
    STATUS(TIME_MISSING, 18, 3, "send the opening time of the basket in milliseconds UTC")        \
    STATUS(BUSINESS_DATE_INVALID, 19, 3, "send the business date as yyyymmdd")                    \
    STATUS(KEY_REQUIRED, 20, 3, "send an idempotency key of 1 to 64 bytes")                       \
    STATUS(RECEIPT_REQUIRED, 21, 3, "send store, business date, till and sequence")               \
    STATUS(LINE_ID_INVALID, 22, 3, "number lines from 1 up, each once")                           \
    STATUS(LINE_ID_DUPLICATE, 23, 3, "number lines from 1 up, each once")                         \
    STATUS(LINE_COUNT_INVALID, 24, 3, "send a count from 1 to 1000000")                           \
    STATUS(LINE_AMOUNT_INVALID, 25, 3, "send the charged amount in minor units, 0 to 10^11")      \
    STATUS(LINE_PARENT_UNKNOWN, 26, 3, "name the line_id of another line of this basket")         \
    STATUS(LINE_CODE_INVALID, 27, 3, "send a GTIN of 8 to 14 digits, a PLU or a SKU")             \
    STATUS(LINES_EMPTY, 28, 3, "send at least one line")                                          \
    STATUS(TENDER_INVALID, 29, 3, "allocate tenders to lines of this basket")                     \
    STATUS(STORE_UNKNOWN, 30, 5, "add the store to the stores feed and build the catalogue")      \
    STATUS(KEY_REUSED, 31, 6, "this key was used with other content: use a new key")              \
    STATUS(RECEIPT_REUSED, 32, 6, "this receipt was committed under another key or content")      \
    STATUS(RECEIPT_UNKNOWN, 33, 5, "name a receipt that was committed here")                      \
    STATUS(RECEIPT_VOIDED, 34, 9, "the sale was voided; nothing is left to change")               \
    STATUS(RECEIPT_HAS_RETURNS, 35, 9, "items were returned; return the rest instead of voiding") \
    STATUS(LINE_UNKNOWN, 36, 5, "name a line of the original receipt")                            \
    STATUS(RETURN_TOO_MUCH, 37, 9, "return at most what was sold and not yet returned")           \
    STATUS(DECISION_CHANGED, 38, 10, "show the customer the new figures and commit again")        \
    STATUS(MEMBER_UNKNOWN, 39, 5, "enrol the member or check the identifier")                     \
    STATUS(IDENTIFIER_TAKEN, 40, 6, "the identifier belongs to another member: merge them")       \
    STATUS(OFFER_UNKNOWN, 41, 5, "name an offer of the live program")                             \
    STATUS(WALLET_FULL, 42, 8, "a wallet holds at most 256 offers")                               \
    STATUS(SEGMENT_UNKNOWN, 43, 5, "name a segment that the program declares")                    \
    STATUS(TIER_UNKNOWN, 44, 5, "name a tier that the program declares")                          \
    STATUS(LSN_NOT_KEPT, 45, 5, "start from a sequence number that the journal still holds")      \
    STATUS(PURSE_UNKNOWN, 46, 5, "name a purse that the program declares")                        \
    STATUS(PROGRAM_INVALID, 47, 3, "mend what the findings list: checklane offers check")         \
    STATUS(SNAPSHOT_UNKNOWN, 48, 5, "publish the snapshot first: checklane snapshot list")        \
    STATUS(MEMBER_EXISTS, 49, 6, "the member is enrolled: update it")                             \
    STATUS(CANDIDATES_CEILING, 50, 8, "too many offers compete: see checklane offers check")      \
    STATUS(RECORD_CEILING, 51, 8, "the account holds too many lots or counters")                  \
    STATUS(REPLY_TOO_LARGE, 52, 8, "ask without explain or in smaller parts")                     \
    STATUS(HOLD_UNKNOWN, 53, 5, "name a hold that was created here")                              \
    STATUS(HOLD_CLOSED, 54, 9, "the hold was captured or released before")                        \
    STATUS(HOLD_EXPIRED, 55, 9, "create a new hold")                                              \
    STATUS(HOLD_NOT_COVERED, 56, 9, "ask for at most what is available")                          \
    STATUS(FUELLING_BEGUN, 57, 9, "ask for an amount off the ticket instead")                     \
    STATUS(POINTS_SHORT, 58, 9, "redeem at most the available points")                            \
    STATUS(CLAIM_NOT_ALLOWED, 59, 9, "claim within the days that the program allows, once")       \
    STATUS(QUEUE_FULL, 60, 8, "the writer is busy: retry with the same key")                      \
    STATUS(DISK_FULL, 61, 8, "free disk space; quotes go on meanwhile")                           \
    STATUS(MEMTABLE_FULL, 62, 8, "the checkpoint lags: retry with the same key")                  \
    STATUS(DEADLINE_PASSED, 63, 4, "retry with the same key")                                     \
    STATUS(LANES_BUSY, 64, 8, "the service is overloaded: go on at the shelf price, retry later")  \
    STATUS(RETURN_NOT_ALLOWED, 65, 9, "name the receipt, or do as returns_without_receipt says")  \
    STATUS(HOLD_NEEDS_SALE, 66, 9, "commit the sale: a total by its token, fuel by its line")      \
    STATUS(MEASURE_NOT_DIVIDED, 67, 9, "take a measured line back whole: leave its measure out")  \
    STATUS(CAPSULE_INVALID, 68, 3, "send the capsule of this receipt, or return at its store")    \
    STATUS(CAPSULE_EXPIRED, 69, 9, "return at the store that sold it: see return_days")           \
    STATUS(JOURNAL_DAMAGED, 70, 15, "restore from backup: see docs/operating.md")                 \
    STATUS(SNAPSHOT_DAMAGED, 71, 15, "build the snapshot again from its feeds")                   \
    STATUS(FORMAT_UNSUPPORTED, 72, 9, "open it with the version that wrote it, then upgrade")     \
    STATUS(IO_FAILED, 73, 13, "look at the disk and the system log")                              \
    STATUS(OUT_OF_MEMORY, 74, 8, "give the process more memory")                                  \
    STATUS(SNAPSHOT_MISMATCH, 75, 9, "build the program against the catalogue that is live")      \
    STATUS(DATA_DIRECTORY_BUSY, 76, 9, "stop the other process on this data directory")           \
    STATUS(JOURNAL_MISMATCH, 77, 9, "open the data directory of this program, node and partition")

typedef enum status {
#define STATUS_ENUM(name, number, grpc, remedy) STATUS_##name = number,
    STATUS_LIST(STATUS_ENUM)
#undef STATUS_ENUM
} status_t;

/* The first fault found in a request, and where. `place` is a path such as lines[3].count. */
#define FAULT_PLACE_BYTES 96
typedef struct fault {
    status_t status;
    char place[FAULT_PLACE_BYTES];
} fault_t;

#endif
