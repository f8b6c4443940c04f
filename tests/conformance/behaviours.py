"""What every client does with the lane port, and what some of them cannot do."""

#: Name and what must happen. The order is the order of the table.
BEHAVIOURS = {
    "unary": "a quote comes back with the bytes that the management port gives",
    "empty": "an empty request is answered",
    "large": "a basket of 512 lines and its decision pass whole",
    "metadata": "the correlation id of a commit comes back as metadata",
    "details": "a refusal brings its code, its words and its details, byte for byte",
    "unknown": "a method that nobody knows is UNIMPLEMENTED",
    "many": "100 calls at once on one connection are all answered",
    "compressed": "gzip is taken and given",
    "stream": "10,000 requests on one lane stream are each answered once",
    "deadline": "a stream whose deadline passes ends with DEADLINE_EXCEEDED",
    "cancel": "a stream is cancelled in flight, and the connection serves on",
    "tls": "a quote over TLS",
    "mutual_tls": "TLS with a certificate of the lane; without one no call gets through",
    "drain": "a service that stops under load answers OK or UNAVAILABLE, never anything else",
}

STREAM_REQUESTS = 10_000
CALLS_AT_ONCE = 100

RAW = {
    "split": "every byte of a request in a frame of its own",
    "padded": "padded DATA",
    "expired": "a grpc-timeout that has passed: DEADLINE_EXCEEDED, the work not begun",
    "bad_timeout": "a grpc-timeout that is none is refused by name",
    "no_message": "a unary call without a message is refused",
    "two_messages": "a unary call with two messages is refused",
    "cut": "a message shorter than its length says is refused",
    "flagged": "a message marked as compressed without grpc-encoding is refused",
    "unknown_encoding": "an encoding that nobody knows is UNIMPLEMENTED, and says what is accepted",
    "too_long": "a message above the ceiling is refused before it is sent",
    "not_grpc": "a content type that is not gRPC gets HTTP 415",
    "not_post": "a method other than POST gets HTTP 405",
    "reset": "a stream that is reset before its end harms no other",
}

CLIENTS = ("grpcio", "grpcio_aio", "grpclib", "grpc_js", "connect_node", "buf_curl", "raw_h2")

#: Behaviours that a client has no way to ask for, with the reason. Nothing else may be missing.
NOT_OFFERED = {
    "grpclib": {"compressed": "knows no message encodings"},
    "buf_curl": {
        "compressed": "does not let its user choose an encoding",
        "metadata": "prints JSON or metadata, and a commit may be sent only once",
        "large": "takes its request from the command line",
        "unknown": "calls only what its schema holds",
        "many": "one call a process",
        "deadline": "has no option for it",
        "cancel": "has no option for it",
        "stream": "sends 10,000 JSON messages too slowly to be worth the time",
        "drain": "one call a process",
    },
}


def behaviours_of(client: str) -> tuple[str, ...]:
    """Return what a client is asked to do."""
    if client == "raw_h2":
        return tuple(RAW)
    missing = NOT_OFFERED.get(client, {})
    return tuple(name for name in BEHAVIOURS if name not in missing)
