-- The names, fields and structs of lockstep.lua, which draws this file in from its own folder. By itself it
-- registers nothing, so it does no harm where Wireshark loads every file of the plugins' folder.
-- The offsets of a struct follow from its items' sizes, in the order of docs/PROTOCOL.md.

local names, parts, single = {}, {}, {}

-- ---------------------------------------------------------------------------- names

names.kinds = {
    [1] = "frame", [2] = "heartbeat", [3] = "submission", [4] = "ack", [5] = "nack", [6] = "answer",
    [7] = "question", [8] = "reply", [9] = "prepare", [10] = "promise", [11] = "refuse", [12] = "pre-vote",
    [13] = "grant", [14] = "down", [15] = "step-down", [16] = "status", [17] = "verdict",
    [18] = "join", [19] = "lease", [20] = "replay request", [21] = "replay answer", [22] = "replay mark", [24] = "notice",
    [25] = "presence", [26] = "address proof", [27] = "events", [28] = "release", [29] = "replay checkpoint",
    [30] = "times",
    [128] = "stage", [129] = "switch",
}
names.entry_kinds = {
    [1] = "message", [2] = "open", [3] = "close", [4] = "day",
    [16] = "birth", [17] = "epoch start", [18] = "membership", [19] = "settled",
    [20] = "order",
}
names.refusals = {
    [1] = "ahead", [2] = "too old", [3] = "other epoch", [4] = "other history", [5] = "limited",
    [6] = "referred", [7] = "replay", [8] = "dropped",
}
names.orders = { [1] = "handover", [2] = "declare-dead", [3] = "membership", [4] = "day", [5] = "upgrade", [6] = "time" }
names.terms = { [1] = "given", [2] = "prove", [3] = "full", [4] = "multicast" }
names.topics = {
    [1] = "node", [2] = "publisher", [3] = "status", [4] = "hand over", [5] = "declare dead", [6] = "pulse",
    [7] = "events", [8] = "upgrade", [9] = "release", [10] = "time", [11] = "times", [12] = "acknowledge",
}
names.denials = {
    [0] = "taken", [1] = "not leader", [2] = "not listed", [3] = "witness", [4] = "leads", [5] = "busy",
    [6] = "change pending", [7] = "start pending", [8] = "replica listed", [9] = "full", [10] = "last member",
    [11] = "stale", [12] = "not two", [13] = "incomplete", [14] = "alive", [15] = "oneself", [16] = "pair",
    [17] = "not allowed", [18] = "unsigned", [19] = "too many", [20] = "version",
    [21] = "not ahead", [22] = "clocks unknown", [23] = "old log",
}
names.ends = {
    [0] = "more follows", [1] = "done", [2] = "ahead", [3] = "too old", [4] = "other history",
    [5] = "chain mismatch", [6] = "too many", [7] = "leads", [8] = "damaged", [9] = "stopping",
    [10] = "malformed", [11] = "beyond",
}
names.suspicions = {
    [0] = "never", [1] = "down", [2] = "step-down", [3] = "silence", [4] = "no progress", [5] = "refused",
}
names.told = { [1] = "missing", [2] = "throttled", [3] = "table full", [4] = "not allowed" }
names.changes = { [1] = "joins", [2] = "leaves", [3] = "is replaced" }
names.member_roles = { [0] = "full", [1] = "witness" }
names.roles = { [0] = "blank", [1] = "standby", [2] = "leader", [3] = "learner" }
names.conditions = {
    [1101] = "journal full",
    [1104] = "damaged",
    [1107] = "log gone",
    [1008] = "exposed",
    [1011] = "redundancy lost",
    [1013] = "epochs uncommitted",
    [1014] = "rounds high",
    [1012] = "durability mixed",
    [1103] = "disk full",
    [1105] = "files refused",
    [1106] = "device stalled",
    [1022] = "files differ",
    [1023] = "takeovers often",
    [1024] = "older keys",
    [1108] = "room low",
    [1015] = "publishers nearly full",
    [1017] = "reader ahead",
    [1016] = "clock ahead",
    [1021] = "clock apart",
    [1010] = "multicast lost",
    [1203] = "line lost",
    [1204] = "members full",
    [1207] = "path lost",
    [1208] = "address twice",
    [1403] = "watcher gone",
}
-- The gravest first, as a status lists them.
names.gravity = {
    1101, 1104, 1107, 1008, 1011, 1013, 1014, 1012, 1103, 1105, 1106,
    1022, 1023, 1024, 1108, 1015, 1017, 1016, 1021, 1208, 1207, 1010, 1203, 1204, 1403,
}
names.durabilities = { [0] = "process", [1] = "power" }
names.words = { [0] = "wrong", [1] = "verified", [2] = "no key" }
names.tags = { [0] = "wrong", [1] = "right", [2] = "not looked at" }

-- ---------------------------------------------------------------------------- CRC-32C

local band, bxor, rshift
if bit32 then -- Lua 5.2
    band, bxor, rshift = bit32.band, bit32.bxor, bit32.rshift
else -- From 5.3 on these are operators, which 5.2 could not even read: hence the text.
    band, bxor, rshift = load([[
        return function(a, b) return a & b end,
            function(a, b) return a ~ b end,
            function(a, n) return a >> n end
    ]])()
end

local CRC_TABLE = {}
for index = 0, 255 do
    local crc = index
    for _ = 1, 8 do
        crc = bxor(rshift(crc, 1), crc % 2 == 1 and 0x82f63b78 or 0)
    end
    CRC_TABLE[index] = crc
end

-- The checksum of `state`'s bytes and `text` behind them.
local function crc32c(text, state)
    local crc, byte = bxor(state or 0, 0xffffffff), string.byte
    for at = 1, #text do
        crc = bxor(CRC_TABLE[band(bxor(crc, byte(text, at)), 0xff)], rshift(crc, 8))
    end
    return bxor(crc, 0xffffffff)
end

-- ---------------------------------------------------------------------------- text

local function identity_text(replica, incarnation)
    return string.format("%d:%07x", replica, incarnation)
end

-- Round, replica and incarnation of the 8 bytes at `at`. Halves, because 5.2's numbers hold 53 bits.
local function unpacked(tvb, at)
    local low, high = tvb(at, 4):le_uint(), tvb(at + 4, 4):le_uint()
    local replica = (high % 16) * 16 + math.floor(low / 0x10000000)
    return math.floor(high / 16), replica, low % 0x10000000
end

local function epoch_text(tvb, at)
    local round, replica, incarnation = unpacked(tvb, at)
    return string.format("%d@%s", round, identity_text(replica, incarnation))
end

-- What Rust's `str::from_utf8` takes: no overlong forms, no surrogates, nothing beyond U+10FFFF.
local function is_utf8(text)
    local at, byte = 1, string.byte
    while at <= #text do
        local first, second = byte(text, at, at + 1)
        local more, low, high = 0, 0x80, 0xbf
        if first >= 0xc2 and first <= 0xdf then
            more = 1
        elseif first >= 0xe0 and first <= 0xef then
            more, low, high = 2, first == 0xe0 and 0xa0 or 0x80, first == 0xed and 0x9f or 0xbf
        elseif first >= 0xf0 and first <= 0xf4 then
            more, low, high = 3, first == 0xf0 and 0x90 or 0x80, first == 0xf4 and 0x8f or 0xbf
        elseif first >= 0x80 then
            return false
        end
        if more > 0 and (not second or second < low or second > high) then
            return false
        end
        for later = at + 2, at + more do
            local next = byte(text, later)
            if not next or next < 0x80 or next > 0xbf then
                return false
            end
        end
        at = at + 1 + more
    end
    return true
end

-- Whether an identity reads so, as `wire::Identity` does.
local function is_identity(text)
    local replica, incarnation = text:match("^%+?(%d+):%+?(%x+)$")
    replica, incarnation = tonumber(replica or "0"), tonumber(incarnation or "0", 16)
    return replica >= 1 and replica <= 255 and incarnation >= 1 and incarnation <= 0x0fffffff
end

-- Whether a number of 64 bits reads so, in decimal digits.
local function is_number(text)
    local digits = text:match("^%d+$") and text:gsub("^0+", "")
    return digits and (#digits < 20 or #digits == 20 and digits <= "18446744073709551615")
end

local function padded(len)
    return len + (8 - len % 8) % 8
end

-- What a number is called.
local function name(of, number, what)
    return of[number] or what .. " " .. number
end

-- ---------------------------------------------------------------------------- bytes of a datagram

local function n8(d, at) return d.tvb(at, 1):uint() end
local function n16(d, at) return d.tvb(at, 2):le_uint() end
local function n32(d, at) return d.tvb(at, 4):le_uint() end
local function n64(d, at) return d.tvb(at, 8):le_uint64() end

local function range_text(d, at)
    return tostring(n64(d, at)) .. ".." .. tostring(n64(d, at + 8))
end

-- Adds those items of a struct that are here.
local function show(d, items, tree, at)
    for _, item in ipairs(items) do
        if at + item.size > d.here then
            d.cut = d.cut or at + item.size <= d.len
            return
        end
        item.add(d.tvb, tree, at)
        at = at + item.size
    end
end

-- ---------------------------------------------------------------------------- fields

local fields = {}

-- The field `lockstep.NAME`. Structs that mean the same thing share it, so that one filter finds all of them.
local function field(make, name, label, ...)
    fields[name] = fields[name] or make("lockstep." .. name, label, ...)
    return fields[name]
end

-- An item of a struct: its bytes, and how it is added to a tree.
local function number(make, size)
    return function(name, label, how, names)
        local made = field(make, name, label, how or base.DEC, names)
        return { size = size, add = function(tvb, tree, at) return tree:add_le(made, tvb(at, size)) end }
    end
end
local u8, u16 = number(ProtoField.uint8, 1), number(ProtoField.uint16, 2)
local u32, u64 = number(ProtoField.uint32, 4), number(ProtoField.uint64, 8)

-- What has no order of bytes.
local function added(size, made)
    return { size = size, add = function(tvb, tree, at) return tree:add(made, tvb(at, size)) end }
end
local function bytes(size, name, label)
    return added(size, field(ProtoField.bytes, name, label))
end

-- An item, and a word behind it that `say` finds in its bytes.
local function with(item, say)
    local function add(tvb, tree, at)
        local added, words = item.add(tvb, tree, at), say(tvb, at)
        if words then
            added:append_text(" (" .. words .. ")")
        end
        return added
    end
    return { size = item.size, add = add }
end

local function age(name, label)
    local never = UInt64.new(0xffffffff, 0xffffffff)
    return with(u64(name, label), function(tvb, at)
        return tvb(at, 8):le_uint64() == never and "never" or nil
    end)
end

-- An identity or an epoch in one integer: as text, its parts below it.
local function packed(name, label, is_epoch)
    local text = field(ProtoField.string, name, label)
    local round = is_epoch and field(ProtoField.uint32, name .. ".round", "Round")
    local replica = field(ProtoField.uint8, name .. ".replica", "Replica")
    local incarnation = field(ProtoField.uint32, name .. ".incarnation", "Incarnation", base.HEX)
    local raw = field(ProtoField.uint64, name .. ".raw", "In one integer", base.HEX)
    local function add(tvb, tree, at)
        local r, p, i = unpacked(tvb, at)
        local range = tvb(at, 8)
        local below = tree:add(text, range, is_epoch and epoch_text(tvb, at) or identity_text(p, i))
        if is_epoch then
            below:add(round, range, r)
        end
        below:add(replica, range, p)
        below:add(incarnation, range, i)
        below:add_le(raw, range)
        return below
    end
    return { size = 8, add = add }
end
local function epoch(name, label) return packed(name, label, true) end
local function identity(name, label) return packed(name, label, false) end

local function struct(items)
    items.size = 0
    for _, item in ipairs(items) do
        items.size = items.size + item.size
    end
    return items
end

-- A bit of a number, shown below it.
local function flag(name, label, bits, mask)
    return field(ProtoField.bool, name, label, bits, nil, mask)
end

single.reject = field(ProtoField.string, "reject", "Refused as")
single.identity = field(ProtoField.string, "identity", "Sender and incarnation")
single.time = field(ProtoField.absolute_time, "time", "Time", base.UTC)
single.tag_status = field(ProtoField.uint8, "tag.status", "Tag is", base.DEC, names.tags)
single.mac_status = field(ProtoField.uint8, "mac.status", "Word of the tag is", base.DEC, names.words)
single.mac_generation = field(ProtoField.uint8, "mac.generation", "Generation of the key")
single.mac_key = field(ProtoField.string, "mac.key", "Key")
single.seq = field(ProtoField.uint64, "seq", "Seq")
single.payload = field(ProtoField.bytes, "payload", "Payload")
single.padding = field(ProtoField.bytes, "padding", "Padding")
single.name = field(ProtoField.string, "name", "Name")
local successors = field(ProtoField.string, "successors", "Successors, most caught up first")
single.epoch_start = flag("flags.epoch_start", "Asks for the start of the epoch", 16, 1)
single.chain = flag("flags.chain", "The chain is to be compared", 16, 1)
single.more = flag("entry.flags.more", "A part, and the next part follows", 8, 1)
single.next = flag("entry.flags.next", "A part, and not the first", 8, 2)

-- Roots of what repeats; their text says the most important of it.
for _, name in ipairs { "entry", "event", "member", "range", "row", "ancestor", "repair" } do
    single[name] = field(ProtoField.none, name, (name:gsub("^%l", string.upper)))
end

local function whom(tvb, at)
    local number = tvb(at, 4):le_uint()
    return number == 0 and "everybody" or number >= 0x80000000 and "a channel" or "a publisher"
end

parts.header = struct {
    added(4, field(ProtoField.string, "magic", "Magic")),
    u8("version", "Version"),
    u8("kind", "Kind", base.DEC, names.kinds),
    u16("key_id", "Key id"),
    u32("tag", "Tag: MAC, or CRC-32C without a key", base.HEX),
    bytes(12, "tag.rest", "Tag, the rest"),
    u32("length", "Length"),
    u16("count", "Count"),
    u16("flags", "Flags", base.HEX),
    u64("cluster", "Cluster", base.HEX_DEC),
    u64("history", "History", base.HEX),
    epoch("epoch", "Epoch"),
    u32("sender", "Sender"),
    u32("incarnation", "Incarnation", base.HEX),
    u64("first_seq", "First seq"),
    u64("commit_next", "Commit next"),
    u64("timestamp", "Timestamp, in nanoseconds"),
    u64("chain", "Chain", base.HEX),
    u64("number", "Number"),
}
parts.entry = {
    u8("entry.kind", "Kind", base.DEC, names.entry_kinds),
    u8("entry.flags", "Flags", base.HEX),
    u16("entry.length", "Payload's length"),
    u32("publisher", "Publisher"),
    u64("publisher_seq", "Publisher's seq"),
    with(u32("destination", "Destination"), whom),
}
parts.stamped = struct { u32("entry.time_ns", "Nanoseconds since the frame's timestamp") }
parts.submitted = struct { u32("publisher.incarnation", "Publisher's incarnation") }
struct(parts.entry)
local ENTRY_LEN = parts.entry.size + parts.stamped.size

parts.member = struct {
    u32("member.replica", "Replica"),
    u32("member.incarnation", "Incarnation", base.HEX),
    added(16, field(ProtoField.ipv6, "member.address", "Address")),
    u16("member.port", "Port"),
    u8("member.role", "Role", base.DEC, names.member_roles),
    bytes(5, "reserved", "Reserved"),
}
parts.open = struct {
    bytes(16, "nonce", "Nonce"),
    u32("publisher.incarnation", "Publisher's incarnation"),
    u32("name_len", "Name's length"),
}
parts.epoch_start = struct {
    epoch("start.epoch", "Epoch that starts"),
    u64("start.base", "Base: seq of this entry"),
    u64("start.chain_at_base", "Chain before it", base.HEX),
    bytes(32, "start.secret_hash", "SHA-256 of the watcher's secret"),
    u32("start.window_entries", "Window, in entries"),
    u32("start.window_bytes", "Window, in bytes"),
    u8("durability", "Durability", base.DEC, names.durabilities),
    u8("members", "Members"),
    u8("start.epochs", "Rows of the epoch table"),
    u8("start.ancestors", "Former histories"),
    bytes(4, "reserved", "Reserved"),
}
parts.ancestor = struct {
    u64("ancestor.history", "Former history", base.HEX),
    u64("ancestor.next", "It was left at seq"),
    u64("ancestor.chain", "Chain before that", base.HEX),
}
parts.epoch_row = struct { epoch("row.epoch", "Epoch"), u64("row.base", "Its first seq") }
parts.membership_front = struct { u64("membership.after", "Seq of the membership before") }
parts.membership_back = struct {
    u8("membership.change", "Change", base.DEC, names.changes),
    u8("members", "Members"),
    bytes(6, "reserved", "Reserved"),
}
parts.trailer = struct {
    with(identity("repair.giver", "Giver"), function(tvb, at)
        local history = tvb(at, 8):le_uint64():rshift(36)
        return "history ends with " .. tostring(history:tohex(-7))
    end),
    epoch("repair.accepted", "Epoch of its log"),
    u64("repair.commit_next", "Its commit next"),
    u64("token", "Token", base.HEX),
    u32("repair.tag", "Tag: MAC, or CRC-32C without a key", base.HEX),
    bytes(12, "repair.tag.rest", "Tag, the rest"),
}
parts.heartbeat = struct {
    u64("membership_seq", "Seq of the membership in force"),
    u64("epoch_start_seq", "Seq of the latest epoch start"),
    u64("process_nonce", "Process nonce", base.HEX),
    u64("oldest_seq", "Oldest seq that can be repaired"),
    u32("credit_entries", "Entries that the window takes"),
    u32("shares_over", "Publishers that used up their share"),
    {
        size = 8,
        add = function(tvb, tree, at)
            local told = {}
            for place = at, at + 7 do
                local replica = tvb(place, 1):uint()
                told[#told + 1] = replica ~= 0 and tostring(replica) or nil
            end
            return tree:add(successors, tvb(at, 8), table.concat(told, ", "))
        end,
    },
}
parts.ack = struct { u64("process_nonce", "Process nonce", base.HEX) }
parts.nack = struct { u64("token", "Token", base.HEX) }
parts.range = struct { u64("range.from", "From"), u64("range.to", "To, exclusive") }
parts.answer = struct {
    u64("token", "Token", base.HEX),
    u64("range.from", "From"),
    u64("range.to", "To, exclusive"),
    u64("oldest_seq", "Oldest seq that can be repaired"),
    u32("answer.reason", "Reason", base.DEC, names.refusals),
    u32("answer.retry_after_ns", "Retry after, in nanoseconds"),
}
parts.question = struct {
    u64("token", "Token", base.HEX),
    u32("topic", "Topic", base.DEC, names.topics),
    u32("name_len", "Name's length"),
}
parts.reply = struct {
    u64("token", "Token", base.HEX),
    u32("topic", "Topic", base.DEC, names.topics),
    u32("publisher", "Publisher"),
    u32("publisher.incarnation", "Publisher's incarnation"),
    u32("reply.role", "Role", base.DEC, names.roles),
    u64("publisher_seq", "Publisher's seq"),
    u64("process_nonce", "Process nonce", base.HEX),
    bytes(16, "nonce", "Nonce"),
}
parts.ballot = struct {
    u64("process_nonce", "Process nonce", base.HEX),
    epoch("ballot", "Ballot"),
    epoch("about", "About"),
}
parts.down = struct { bytes(32, "down.secret", "Secret") }
parts.step_down = struct {
    u64("process_nonce", "Process nonce", base.HEX),
    identity("successor", "Successor"),
}
parts.presence = struct {
    u64("process_nonce", "Process nonce", base.HEX),
    u64("presence.born", "Process began, in nanoseconds since 1970; all ones: it looks"),
    u64("token", "Token", base.HEX),
    u64("presence.answers", "Nonce of who asked; 0 asks", base.HEX),
}
parts.address_proof = struct {
    u64("token", "Token", base.HEX),
    u64("address_proof.proof", "Proof", base.HEX),
}
parts.status = struct {
    u64("token", "Token", base.HEX),
    u64("process_nonce", "Process nonce", base.HEX),
    identity("status.leader", "Leader"),
    u64("status.epoch_since", "Epoch since, in nanoseconds"),
    epoch("status.promised", "Promised"),
    u64("membership_seq", "Seq of the membership in force"),
    identity("status.suspected", "Suspected last"),
    age("status.suspected_age_ns", "Nanoseconds ago"),
    identity("status.denied_member", "Member whose change was denied last"),
    age("status.denied_age_ns", "Nanoseconds ago"),
    u32("denied", "Denied", base.DEC, names.denials),
    u8("status.role", "Role", base.DEC, names.roles),
    u8("status.suspicion", "Why it was suspected", base.DEC, names.suspicions),
    u8("durability", "Durability", base.DEC, names.durabilities),
    u8("status.conditions", "Conditions"),
}
parts.status_member = struct { u64("acked_next", "Acked next"), age("acked_age_ns", "Nanoseconds ago") }
parts.condition = struct {
    u16("condition", "Condition", base.DEC, names.conditions),
    u16("reserved_half", "Reserved"),
    u32("condition.age_s", "Holds, in seconds"),
    u64("condition.a", "First number"),
    u64("condition.b", "Second number"),
}
parts.release = struct {
    u64("token", "Token", base.HEX),
    u8("release.oldest", "Oldest version"),
    u8("release.newest", "Newest version"),
    u8("release.in_force", "Version of its log; 0 empty"),
    bytes(5, "padding", "Padding"),
    bytes(40, "release.name", "Release"),
}
parts.times = struct {
    u64("token", "Token", base.HEX),
    u64("times.stream", "Time of its log, in nanoseconds; 0 empty"),
    u64("times.quorum", "Time of a quorum's clocks, in nanoseconds; 0 unknown"),
}
parts.events = struct {
    u64("token", "Token", base.HEX),
    u64("ring", "Id of the ring", base.HEX),
    u64("events.oldest", "Least number that the ring may have"),
    u64("events.next", "Number of the next event"),
    u64("events.from", "The page is complete from this number on"),
}
parts.event = struct {
    u64("event.number", "Number"),
    u64("event.wall", "Wall time, in nanoseconds"),
    u64("event.at", "Monotonic time, in nanoseconds"),
    u64("event.a", "First number"),
    u64("event.b", "Second number"),
    u64("event.c", "Third number"),
    u64("event.d", "Fourth number"),
    u16("event.code", "Code"),
    u16("event.small", "Small number"),
    u32("event.e", "Fifth number"),
}
parts.verdict = struct {
    u64("token", "Token", base.HEX),
    u32("topic", "Topic", base.DEC, names.topics),
    u32("denied", "Denied", base.DEC, names.denials),
}
parts.join = struct {
    u32("join.groups", "Groups", base.HEX),
    u32("reserved_word", "Reserved"),
    u64("process_nonce", "Process nonce", base.HEX),
    u64("proof", "Proof", base.HEX),
    bytes(8, "padding", "Padding"),
}
parts.lease = struct {
    u32("lease.term", "Term", base.DEC, names.terms),
    u32("lease.lasts_ms", "Lasts, in milliseconds"),
    u64("process_nonce", "Process nonce", base.HEX),
    u64("proof", "Proof", base.HEX),
    u32("lease.members", "Members"),
    u32("lease.members_max", "Members at most"),
}
parts.asked = struct { u64("range.from", "From"), u64("range.to", "To, exclusive") }
parts.replay = struct {
    u64("replay.next", "First seq of the frame that would follow"),
    u64("oldest_seq", "Oldest seq that can be given"),
    u32("replay.end", "End", base.DEC, names.ends),
    u32("reserved_word", "Reserved"),
}
parts.part = struct {
    u64("checkpoint.offset", "Bytes of the checkpoint before this part"),
    u64("checkpoint.len", "Bytes of the checkpoint"),
}
parts.row = struct {
    u32("publisher", "Publisher"),
    u32("publisher.incarnation", "Publisher's incarnation"),
    u64("range.from", "From"),
    u64("range.to", "To, exclusive"),
    u32("told", "Told", base.DEC, names.told),
    u32("told.key", "For the holder of the publisher's key of this number less 1; 0: for all"),
}

return {
    names = names, parts = parts, single = single, fields = fields, crc32c = crc32c, unpacked = unpacked,
    identity_text = identity_text, epoch_text = epoch_text, is_utf8 = is_utf8, is_identity = is_identity,
    is_number = is_number,
    padded = padded, name = name, n8 = n8, n16 = n16, n32 = n32, n64 = n64,
    range_text = range_text, show = show, bits = { band, bxor, rshift },
}
