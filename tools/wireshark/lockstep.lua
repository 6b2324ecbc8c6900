-- lockstep's datagrams, and its replays over TCP, for Wireshark and tshark 3.6 and later.
-- Installation, fields and filters: README.md beside this file. The bytes: docs/PROTOCOL.md.
--
-- What the decoder of src/wire refuses is marked `lockstep.invalid`, with the decoder's own word for it in
-- `lockstep.reject`, and the judging goes in its order. tests/wireshark.rs holds the two together, so a
-- change there wants its like here. Nothing here may throw: each read is behind a look at what is there.

local folder = debug.getinfo(1, "S").source:match("^@(.*[/\\])") or ""
local common = dofile(folder .. "lockstep_fields.lua")
local mac = dofile(folder .. "lockstep_mac.lua")(common.bits[1], common.bits[2], common.bits[3])
local names, parts, single = common.names, common.parts, common.single
local crc32c, unpacked, padded = common.crc32c, common.unpacked, common.padded
local identity_text, epoch_text, name = common.identity_text, common.epoch_text, common.name
local n8, n16, n32, n64 = common.n8, common.n16, common.n32, common.n64
local range_text, show = common.range_text, common.show

local HEADER_LEN, TRAILER_LEN, DATAGRAM_LEN_MAX = parts.header.size, parts.trailer.size, 8972
local VERSION_MIN, VERSION = 3, 4
local ENTRY_LEN = parts.entry.size + parts.stamped.size
local MAGIC = "LKST"
local MEMBERS_MAX, EPOCHS_MAX, RANGES_MAX, ROWS_MAX, NAME_LEN_MAX, DAY_LEN_MAX = 7, 16, 32, 16, 64, 10
local ORDER_LEN, HOLDER_LEN_MAX, PUBLISHER_KEYS_MAX = 48, 64, 4080
local PROOF_LEN, SIGNATURE_LEN, NO_KEY = 72, 64, 65535
local ANCESTORS_MAX = 8
local CHECKPOINT_PART_LEN_MAX, CHECKPOINT_LEN_MAX = 32768, UInt64.new(0x10000000, 0)
local CONDITIONS_TOLD_MAX, EVENTS_MAX = 8, 9
-- The place of each condition's code, the gravest first.
local gravity = {}
for place, code in ipairs(names.gravity) do
    gravity[code] = place
end
local JOURNAL_FROM = 128
local OVER_TCP = { [1] = true, [20] = true, [21] = true, [22] = true, [29] = true }
local ZERO = UInt64.new(0, 0)

local lockstep = Proto("lockstep", "lockstep, a multicast sequencer")
-- The same records one behind the other: a protocol of its own only because ports of TCP need one.
local replay = Proto("lockstep_replay", "lockstep, a replay over TCP")

local invalid = ProtoExpert.new(
    "lockstep.invalid", "lockstep refuses this", expert.group.MALFORMED, expert.severity.ERROR)
local cut = ProtoExpert.new(
    "lockstep.cut", "The capture holds only a part", expert.group.UNDECODED, expert.severity.NOTE)
lockstep.fields = common.fields
lockstep.experts = { invalid, cut }

lockstep.prefs.udp_ports = Pref.range("UDP ports", "", "Ports of the groups and of unicast. Without them "
    .. "datagrams are found by their first bytes, unless another protocol claims their port.", 65535)
lockstep.prefs.tcp_ports = Pref.range("TCP ports", "", "Ports of replays: unicast's numbers.", 65535)
lockstep.prefs.checksum = Pref.bool("Check the checksums", true, "Compute the CRC-32C of each frame, and of each datagram without a key; and the MAC of all others, if there are "
    .. "keys.")
lockstep.prefs.keys = Pref.string("Keys", "", "A key file, or a folder with replica.keys, reader.keys or "
    .. "publisher.keys: the tag of each datagram is verified by the keys in it.")

-- The keys, by cluster and generation, and how many files they are of.
local rings, key_files = {}, 0

-- ---------------------------------------------------------------------------- one datagram or record

-- `d` is the datagram: its bytes `tvb`, its tree `top`. Of its `len` bytes `here` are captured; it ends at
-- `stop`, which is what its header says if that can be.

-- Marks what the decoder would refuse. The first reason counts, as there.
local function refuse(d, reason, words, tree)
    if d.bad then
        return
    end
    d.bad = reason
    local item = d.top:add(single.reject, reason)
    item:set_generated()
    item = tree or item
    item:add_proto_expert_info(invalid, words)
end

-- Payloads of control entries are judged behind all of the datagram, by those whom they concern.
local function refuse_later(d, words, tree)
    d.later = d.later or { words, tree }
end

-- Whether `size` bytes from `at` on are here. What the capture cut off is not the sender's fault.
local function has(d, at, size, reason)
    if at + size > d.stop then
        refuse(d, reason or "body", "it ends before what it must hold")
        return false
    end
    d.cut = d.cut or at + size > d.here
    return at + size <= d.here
end

local function subtree(d, tree, what, at, size, words)
    local item = tree:add(what, d.tvb(at, math.min(size, d.here - at)))
    item:set_text(words)
    return item
end

-- The length that its kind demands, then the flags that it knows: in all of them the lowest bits.
local function ends(d, size, flags_max)
    if d.length ~= HEADER_LEN + size then
        refuse(d, "length", string.format("length %d, its kind demands %d", d.length, HEADER_LEN + size))
    elseif d.flags > flags_max then
        refuse(d, "flags", "a flag that its kind does not have")
    end
end

-- The same for a request: zeros may follow, so that it is as long as its answer.
local function ends_padded(d, size, flags_max)
    for at = HEADER_LEN + size, math.min(d.length, d.here) - 1 do
        if n8(d, at) ~= 0 then
            refuse(d, "length", "padding that is not zero")
            return
        end
    end
    ends(d, math.max(size, d.length - HEADER_LEN), flags_max)
end

-- A member's row; whether its role exists.
local function member(d, tree, at)
    local row = subtree(d, tree, single.member, at, parts.member.size, "Member")
    show(d, parts.member, row, at)
    if at + parts.member.size > d.here then
        return true
    end
    local ip, role = {}, n8(d, at + 26)
    for place = at + 20, at + 23 do
        ip[#ip + 1] = n8(d, place)
    end
    row:append_text(string.format(" %s at %s:%d, %s", identity_text(n32(d, at), n32(d, at + 4)),
        table.concat(ip, "."), n16(d, at + 24), name(names.member_roles, role, "role")))
    return names.member_roles[role] ~= nil
end

-- `count` members from `at` on; whether all their roles exist.
local function members(d, tree, at, count)
    local sound = true
    for row = 0, count - 1 do
        sound = member(d, tree, at + row * parts.member.size) and sound
    end
    return sound
end

-- `count` former histories from `at` on, of an epoch start at `start`; whether they are sound.
local function ancestors(d, tree, at, count, start)
    local base, sound, later = n64(d, start + 8), true, nil
    for row = 0, count - 1 do
        local here = at + row * parts.ancestor.size
        local history, left = n64(d, here), n64(d, here + 8)
        local words = string.format("History %s was left at seq %s", history:tohex(), left)
        show(d, parts.ancestor, subtree(d, tree, single.ancestor, here, parts.ancestor.size, words), here)
        sound = sound and history ~= ZERO and left > UInt64.new(1, 0) and left <= base
            and (not later or left < later)
            and (row > 0 or left ~= base or n64(d, here + 16) == n64(d, start + 16))
        later = left
    end
    return sound
end

-- The mark of a trading day, `size` bytes at `at`, in words; nil if it is none.
local function day_mark(d, at, size)
    if size < 1 or size > 1 + DAY_LEN_MAX then
        return nil
    end
    local what, day = n8(d, at), d.tvb:raw(at + 1, size - 1)
    if what == 2 and size == 1 then
        return "a trading day ends"
    end
    return what == 1 and day:match("^%w+$") and "the trading day " .. day .. " begins" or nil
end

-- A submitted change of the membership: the sound ones only.
local function is_change(d, tree, at, size)
    local front = parts.membership_front.size + parts.member.size + parts.membership_back.size
    return size == front and names.changes[n8(d, at + 40)] and n8(d, at + 41) == 0 and member(d, tree, at + 8)
end

-- Payloads of control entries, `size` bytes at `at`, which are here. They return whether they are sound.
local PAYLOADS = {
    [2] = function(d, tree, at, size)
        show(d, parts.open, tree, at)
        local len = size - parts.open.size
        if len < 1 or len > NAME_LEN_MAX or len ~= n32(d, at + 20) then
            return false
        end
        local range = d.tvb(at + parts.open.size, len)
        tree:add(single.name, range, range:string(ENC_UTF_8))
        return common.is_utf8(d.tvb:raw(at + parts.open.size, len))
    end,
    [4] = function(d, tree, at, size)
        local is_signed = size > 1 + DAY_LEN_MAX and size >= PROOF_LEN
        local words = day_mark(d, at, is_signed and size - PROOF_LEN or size)
        if not words then
            return false
        end
        tree:append_text(" (" .. words .. (is_signed and ", signed)" or ")"))
        return true
    end,
    [16] = function(d, tree, at, size)
        local count = math.floor(size / parts.member.size)
        local sound = members(d, tree, at, count)
        return sound and size % parts.member.size == 0 and count >= 1 and count <= MEMBERS_MAX
    end,
    [17] = function(d, tree, at, size)
        if size < parts.epoch_start.size then
            return false
        end
        show(d, parts.epoch_start, tree, at)
        local listed, rows, former = n8(d, at + 65), n8(d, at + 66), n8(d, at + 67)
        local table_at = at + parts.epoch_start.size + listed * parts.member.size
        local former_at = table_at + rows * parts.epoch_row.size
        if listed < 1 or listed > MEMBERS_MAX or rows < 1 or rows > EPOCHS_MAX or former > ANCESTORS_MAX
            or at + size ~= former_at + former * parts.ancestor.size then
            return false
        end
        local sound = members(d, tree, at + parts.epoch_start.size, listed)
        sound = ancestors(d, tree, former_at, former, at) and sound
        for row = table_at, former_at - 1, parts.epoch_row.size do
            local words = string.format("Epoch %s from seq %s on", epoch_text(d.tvb, row), n64(d, row + 8))
            show(d, parts.epoch_row, subtree(d, tree, single.row, row, parts.epoch_row.size, words), row)
        end
        return sound and names.durabilities[n8(d, at + 64)] ~= nil
    end,
    [18] = function(d, tree, at, size)
        local front = parts.membership_front.size + parts.member.size + parts.membership_back.size
        if size < front then
            return false
        end
        show(d, parts.membership_front, tree, at)
        local sound = member(d, tree, at + 8)
        show(d, parts.membership_back, tree, at + 40)
        local change, listed = n8(d, at + 40), n8(d, at + 41)
        local is_signed = listed == 0 and size == front + PROOF_LEN
        local fits = listed <= MEMBERS_MAX and size == front + listed * parts.member.size or is_signed
        if not names.changes[change] or not fits then
            return false
        end
        return members(d, tree, at + front, listed) and sound
    end,
    [20] = function(d, tree, at, size)
        if size < ORDER_LEN then
            return false
        end
        local key, order, signed = n16(d, at + 40), names.orders[n8(d, at + 42)], n8(d, at + 45)
        local holder_len, arguments_len = n8(d, at + 43), n8(d, at + 44)
        local arguments_at = at + ORDER_LEN + holder_len
        local signature_len = signed == 1 and SIGNATURE_LEN or 0
        if size ~= ORDER_LEN + holder_len + arguments_len + signature_len or holder_len > HOLDER_LEN_MAX then
            return false
        end
        local holder, words = d.tvb:raw(at + ORDER_LEN, holder_len), order
        if order == "day" then
            words = arguments_len >= 12 and day_mark(d, arguments_at + 12, arguments_len - 12)
        elseif order == "membership" then
            words = is_change(d, tree, arguments_at, arguments_len) and order
        elseif order == "upgrade" and arguments_len == 1 then
            words = order .. " to version " .. n8(d, arguments_at)
        elseif order == "time" and arguments_len == 8 then
            words = order .. " behind " .. tostring(n64(d, arguments_at))
        elseif arguments_len ~= 0 or order == "upgrade" or order == "time" then
            words = nil
        end
        local fits = signed == 1 and key ~= NO_KEY or signed == 0 and n64(d, at + 32) == ZERO
        if not words or not fits or n16(d, at + 46) ~= 0 or not common.is_utf8(holder) then
            return false
        end
        local who = key == NO_KEY and "a replica's key" or holder
        local signs = signed == 1 and ", signed" or ""
        tree:append_text(" (" .. words .. " by " .. who .. signs .. ")")
        return true
    end,
}

-- The dissector of payloads that `lockstep schema wireshark` writes, or false. It is looked for once there is a
-- payload, as scripts are loaded in any order.
local by_schema

local function payload_fields(d, tree, start, len)
    if by_schema == nil then
        local found, dissector = pcall(Dissector.get, "lockstep_payload")
        by_schema = found and dissector or false
    end
    if by_schema then
        by_schema:call(d.tvb(start, len):tvb(), d.pinfo, tree)
    end
end

-- One entry at `at`, whose header is here; returns where the next one begins, or nil.
local function entry(d, at, first, index)
    local kind, flags, len = n8(d, at), n8(d, at + 1), n16(d, at + 2)
    local publisher, number = n32(d, at + 4), n64(d, at + 8)
    local words = string.format("%s, publisher %d number %s, %d bytes",
        name(names.entry_kinds, kind, "kind"), publisher, number, len)
    local tree = subtree(d, d.top, single.entry, at, ENTRY_LEN + padded(len), "Entry: " .. words)
    if first then
        local own = first + UInt64.new(index, 0)
        tree:set_text("Entry " .. tostring(own) .. ": " .. words)
        tree:add(single.seq, d.tvb(at, ENTRY_LEN), own):set_generated()
    end
    show(d, parts.entry, tree, at)
    tree:add(single.more, d.tvb(at + 1, 1))
    tree:add(single.next, d.tvb(at + 1, 1))
    show(d, first and parts.stamped or parts.submitted, tree, at + parts.entry.size)
    if not names.entry_kinds[kind] then
        refuse(d, "entry_kind", "an entry of unknown kind " .. kind, tree)
    elseif flags ~= 0 and (kind ~= 1 or flags > 3) then
        refuse(d, "flags", "a flag that this entry does not have", tree)
    end
    if at + ENTRY_LEN + padded(len) > d.stop then
        refuse(d, "entry_length", "an entry that reaches beyond its datagram", tree)
        return nil
    end
    local start = at + ENTRY_LEN
    if has(d, start, len) then
        local said = len > 0 and tree:add(single.payload, d.tvb(start, len)) or tree
        -- A part of a message is none.
        if kind == 1 and flags == 0 and len > 0 then
            payload_fields(d, tree, start, len)
        end
        local judge = PAYLOADS[kind]
        if judge and not (len > 0 and judge(d, said, start, len)) then
            refuse_later(d, "a payload that contradicts itself", said)
        end
    end
    return start + padded(len)
end

-- Kinds of entries that begin a history or an epoch: none but the first of a frame.
local BEGINS = { [16] = true, [17] = true }

-- The entries of a frame (from seq `first` on) or of a submission (nil); returns where they end, or nil.
local function entries(d, first)
    local at, hidden = HEADER_LEN, false
    for index = 0, d.count - 1 do
        if not has(d, at, ENTRY_LEN, "count") then
            return nil
        end
        hidden = hidden or first and index > 0 and BEGINS[n8(d, at)]
        at = entry(d, at, first, index)
        if not at then
            return nil
        end
    end
    if hidden then
        refuse(d, "entry_kind", "an epoch that begins behind another entry of its frame")
    end
    return at
end

-- ---------------------------------------------------------------------------- tags, by keys

-- Shows how one word of a tag was judged.
local function show_word(d, tree, at, which, judged)
    local item = tree:add(single.mac_status, d.tvb(at, 8), judged.status)
    item:set_generated()
    item:set_text(which .. " of the tag: " .. names.words[judged.status])
    if judged.generation then
        item:append_text(string.format(" (generation %d, %s; key of %s)", judged.generation.number,
            judged.generation.use, judged.label))
        item:add(single.mac_generation, judged.generation.number):set_generated()
        item:add(single.mac_key, judged.label):set_generated()
    end
end

-- Shows both words of the tag at `at`. Returns what the whole is, in the numbers of `names.tags`.
local function show_words(d, tree, at, replicas, readers)
    show_word(d, tree, at, "Word 0", replicas)
    show_word(d, tree, at + 8, "Word 1", readers)
    if replicas.status == mac.WRONG or readers.status == mac.WRONG then
        return 0
    end
    return replicas.status == mac.VERIFIED and 1 or readers.status == mac.VERIFIED and 1 or 2
end

-- Judges the tag of a datagram with a key, if there are keys.
local function judge_tag(d)
    if key_files == 0 then
        if lockstep.prefs.keys ~= "" then
            d.top:add(single.mac_key, "no key file at " .. lockstep.prefs.keys):set_generated()
        end
        return 2
    end
    local cluster, datagram = tostring(n64(d, 32)), d.tvb:raw(0, d.length)
    local status = show_words(d, d.top, 8, mac.judge(rings, cluster, n16(d, 6), datagram))
    -- For a repaired frame its trailer vouches.
    if status == 0 and d.behind ~= TRAILER_LEN then
        refuse(d, "tag", "not sealed with the key that it names")
    end
    return status
end

-- Behind a frame: who repaired it.
local function trailer(d)
    local at = d.length
    if at + TRAILER_LEN > d.here then
        d.cut = true
        return " repair"
    end
    local tree = subtree(d, d.top, single.repair, at, TRAILER_LEN, "Repair")
    show(d, parts.trailer, tree, at)
    local _, replica, incarnation = unpacked(d.tvb, at)
    local giver = identity_text(replica, incarnation)
    tree:append_text(" by " .. giver)
    if lockstep.prefs.checksum and n16(d, 6) == 0 then
        local sum = crc32c(d.tvb:raw(at, 32), crc32c(d.tvb:raw(96, 8)))
        if n32(d, at + 32) ~= sum or n32(d, at + 36) ~= 0 or n64(d, at + 40) ~= ZERO then
            refuse(d, "checksum", string.format("the tag of this trailer would be 0x%08x", sum), tree)
        end
    elseif lockstep.prefs.checksum and key_files > 0 then
        local cluster, frame = tostring(n64(d, 32)), d.tvb:raw(0, at)
        local behind = d.tvb:raw(at, TRAILER_LEN)
        if show_words(d, tree, at + 32, mac.judge_trailer(rings, cluster, frame, behind)) == 0 then
            refuse(d, "tag", "a trailer that nobody with these keys has sealed", tree)
        end
    end
    return " repair by " .. giver
end

-- A body of one struct; `judge` returns what is wrong with it, and words for the summary.
local function fixed(items, flags_max, judge)
    return function(d)
        ends(d, items.size, flags_max)
        show(d, items, d.top, HEADER_LEN)
        if not judge or not has(d, HEADER_LEN, items.size) then
            return ""
        end
        local wrong, words = judge(d, HEADER_LEN)
        if wrong then
            refuse(d, "body", wrong)
        end
        return words or ""
    end
end

local function judge_ballot(d, at)
    local round = unpacked(d.tvb, at + 8)
    return round == 0 and "a ballot of round 0", " ballot " .. epoch_text(d.tvb, at + 8)
end

local function judge_nothing(d)
    return nil, string.format(" next %s commit %s", n64(d, 64), n64(d, 72))
end

local function judge_replay(d, at)
    local code = n32(d, at + 16)
    local words = string.format(" next %s, %s", n64(d, at), name(names.ends, code, "end"))
    return not names.ends[code] and "an end that does not exist", words
end

-- By kind: adds the body, judges it as `Datagram::decode` does, returns words for the summary.
local BODIES = {
    [1] = function(d)
        local first, count = n64(d, 64), d.count
        local last = first + UInt64.new(count, 0)
        if d.flags ~= 0 then
            refuse(d, "flags", "a frame has no flags")
        elseif count == 0 or first == ZERO then
            refuse(d, "count", "a frame has entries, and seqs begin at 1")
        elseif last < first then
            refuse(d, "seq", "seqs beyond the end of u64")
        end
        local at, to = entries(d, first), math.min(d.stop, d.here)
        if at and at < to then
            d.top:add(single.padding, d.tvb(at, to - at))
        end
        local words = string.format(" seq %s..%s commit %s", first, last, n64(d, 72))
        return d.behind == TRAILER_LEN and words .. trailer(d) or words
    end,
    [2] = fixed(parts.heartbeat, 0, judge_nothing),
    [3] = function(d)
        local at = entries(d, nil)
        if at then
            ends(d, at - HEADER_LEN, 0)
        end
        return d.count == 1 and ": 1 entry" or string.format(": %d entries", d.count)
    end,
    [4] = fixed(parts.ack, 0, judge_nothing),
    [5] = function(d)
        ends_padded(d, parts.nack.size + d.count * parts.range.size, 1)
        if d.count > RANGES_MAX or (d.flags % 2 == 1) ~= (d.count == 0) then
            refuse(d, "count", "1 to 32 ranges, or the flag and none")
        end
        show(d, parts.nack, d.top, HEADER_LEN)
        local words = {}
        for index = 0, d.count - 1 do
            local at = HEADER_LEN + parts.nack.size + index * parts.range.size
            if not has(d, at, parts.range.size) then
                break
            end
            words[#words + 1] = range_text(d, at)
            local row = subtree(d, d.top, single.range, at, parts.range.size, "Range " .. words[#words])
            show(d, parts.range, row, at)
            if n64(d, at) == ZERO or n64(d, at) >= n64(d, at + 8) then
                refuse(d, "body", "a range that is none", row)
            end
        end
        return d.count == 0 and " for the start" or " " .. table.concat(words, " ")
    end,
    [6] = fixed(parts.answer, 0, function(d, at)
        local reason = n32(d, at + 32)
        local words = " " .. range_text(d, at + 8) .. ": " .. name(names.refusals, reason, "reason")
        return not names.refusals[reason] and "a reason that does not exist", words
    end),
    [7] = function(d)
        show(d, parts.question, d.top, HEADER_LEN)
        if not has(d, HEADER_LEN, parts.question.size) then
            return ""
        end
        local topic, len = n32(d, HEADER_LEN + 8), n32(d, HEADER_LEN + 12)
        local at = HEADER_LEN + parts.question.size
        local is_order = topic == 4 or topic == 5 or topic == 8 or topic == 10
        local wants = topic == 2 or topic == 5 or topic == 8 or topic == 10 or topic == 12
        local takes = topic == 2 or topic == 7 or topic == 12 or is_order
        if not names.topics[topic] or len > (takes and NAME_LEN_MAX or 0) or len < (wants and 1 or 0) then
            refuse(d, "body", "a topic that does not exist, or not with a name of this length")
        end
        local is_signed = is_order and d.flags % 2 == 1
        ends_padded(d, parts.question.size + padded(len) + (is_signed and PROOF_LEN or 0), is_order and 1 or 0)
        local words = " " .. name(names.topics, topic, "topic")
        if len > 0 and has(d, at, len) then
            local said = d.tvb:raw(at, len)
            local item = d.top:add(single.name, d.tvb(at, len), d.tvb(at, len):string(ENC_UTF_8))
            local number = said:match("^%+?0*(%d+)$")
            local is_version = number and #number <= 3 and tonumber(number) <= 255
            local fits = not is_order or common.is_identity(said)
            if topic == 8 then
                fits = is_version
            elseif topic == 7 or topic == 10 then
                fits = common.is_number(said)
            elseif topic == 12 then
                local code, first = said:match("^(%+?%d+) (%+?%d+)$")
                fits = code and names.conditions[tonumber(code)] and common.is_number((first:gsub("^%+", "")))
            end
            if not common.is_utf8(said) or not fits then
                refuse(d, "body", "a name that is none, no identity, no version, or no number", item)
            end
            words = words .. " " .. d.tvb(at, len):string(ENC_UTF_8)
        end
        return words
    end,
    [8] = fixed(parts.reply, 0, judge_nothing),
    [14] = fixed(parts.down, 0),
    [15] = fixed(parts.step_down, 0, function(d, at)
        local _, replica, incarnation = unpacked(d.tvb, at + 8)
        return nil, replica == 0 and "" or " for " .. identity_text(replica, incarnation)
    end),
    [16] = function(d)
        local row_len = parts.member.size + parts.status_member.size
        show(d, parts.status, d.top, HEADER_LEN)
        if not has(d, HEADER_LEN, parts.status.size, "length") then
            return ""
        end
        local conditions = n8(d, HEADER_LEN + 87)
        -- Behind the conditions whole parts follow, of whatever kind.
        local behind = HEADER_LEN + parts.status.size + d.count * row_len + conditions * parts.condition.size
        local ending = behind
        while ending < d.length and has(d, ending, 8, "length") do
            if n16(d, ending) == 0 or n16(d, ending + 2) == 0 or n16(d, ending + 6) ~= 0 then
                refuse(d, "length", "a part of a status of no kind, of empty rows, or with a word that is not zero")
            end
            ending = ending + 8 + math.floor((n16(d, ending + 2) * n16(d, ending + 4) + 7) / 8) * 8
        end
        ends(d, ending - HEADER_LEN, 0)
        if d.count > MEMBERS_MAX or conditions > CONDITIONS_TOLD_MAX then
            refuse(d, "count", "more than seven members, or more than eight conditions")
        end
        local at = HEADER_LEN + 80
        local sound = names.denials[n32(d, at)] and names.suspicions[n8(d, at + 5)]
            and names.durabilities[n8(d, at + 6)]
        for index = 0, d.count - 1 do
            local row = HEADER_LEN + parts.status.size + index * row_len
            if not has(d, row, row_len) then
                break
            end
            sound = member(d, d.top, row) and sound
            show(d, parts.status_member, d.top, row + parts.member.size)
        end
        local graver = 0
        for index = 0, conditions - 1 do
            local row = HEADER_LEN + parts.status.size + d.count * row_len + index * parts.condition.size
            if not has(d, row, parts.condition.size) then
                break
            end
            show(d, parts.condition, d.top, row)
            local place = gravity[n16(d, row)] or 0
            sound = sound and place > graver and n16(d, row + 2) == 0
            graver = place
        end
        if not sound then
            refuse(d, "body", "a word that does not exist")
        end
        local _, words = judge_nothing(d)
        return words
    end,
    [27] = function(d)
        show(d, parts.events, d.top, HEADER_LEN)
        ends(d, parts.events.size + d.count * parts.event.size, 0)
        if not has(d, HEADER_LEN, parts.events.size, "length") then
            return ""
        end
        if d.count > EVENTS_MAX then
            refuse(d, "count", "more than nine events")
        end
        local above, from = n64(d, HEADER_LEN + 24), n64(d, HEADER_LEN + 32)
        local sound = n64(d, HEADER_LEN + 16) <= from and from <= above
        local codes = {}
        for index = 0, d.count - 1 do
            local at = HEADER_LEN + parts.events.size + index * parts.event.size
            if not has(d, at, parts.event.size) then
                break
            end
            codes[#codes + 1] = string.format("LS%04d", n16(d, at + 56))
            local row = subtree(d, d.top, single.event, at, parts.event.size, "Event " .. codes[#codes])
            show(d, parts.event, row, at)
            sound = sound and n64(d, at) >= from and n64(d, at) < above
            above = n64(d, at)
        end
        if not sound then
            refuse(d, "body", "events that are not the newest first, or not those of the page")
        end
        return " " .. table.concat(codes, " ")
    end,
    [17] = fixed(parts.verdict, 0, function(d, at)
        local topic, denied = n32(d, at + 8), n32(d, at + 12)
        local is_command = topic == 4 or topic == 5 or topic == 8 or topic == 10 or topic == 12
        return not (is_command and names.denials[denied]) and "a word that does not exist",
            " " .. name(names.topics, topic, "topic") .. ": " .. name(names.denials, denied, "denial")
    end),
    [18] = fixed(parts.join, 0, function(d, at)
        local is_sound = n32(d, at) <= 7 and n32(d, at + 4) == 0 and n64(d, at + 24) == ZERO
        return not is_sound and "groups that do not exist", string.format(" groups 0x%x", n32(d, at))
    end),
    [19] = fixed(parts.lease, 0, function(d, at)
        local term = n32(d, at)
        return not names.terms[term] and "a word that does not exist", " " .. name(names.terms, term, "term")
    end),
    [20] = fixed(parts.asked, 3, function(d, at)
        return n64(d, at) >= n64(d, at + 8) and "a range that is none", " " .. range_text(d, at)
    end),
    [21] = fixed(parts.replay, 0, judge_replay),
    [22] = fixed(parts.replay, 0, judge_replay),
    [24] = function(d)
        ends(d, d.count * parts.row.size, 0)
        if d.count < 1 or d.count > ROWS_MAX then
            refuse(d, "count", "1 to 16 rows")
        end
        local words = {}
        for index = 0, d.count - 1 do
            local at = HEADER_LEN + index * parts.row.size
            if not has(d, at, parts.row.size) then
                break
            end
            local told = names.told[n32(d, at + 24)]
            words[#words + 1] = string.format("%s %d: %s", told or "told", n32(d, at), range_text(d, at + 8))
            local row = subtree(d, d.top, single.row, at, parts.row.size, "Publisher " .. words[#words])
            show(d, parts.row, row, at)
            local from, code = n64(d, at + 8), n32(d, at + 24)
            local wrong = from == ZERO or from >= n64(d, at + 16)
            if code == 3 then
                wrong = n32(d, at) ~= 0
            elseif code == 4 and n32(d, at) == 0 then
                wrong = false
            end
            if not told or n32(d, at + 28) > PUBLISHER_KEYS_MAX or wrong then
                refuse(d, "body", "a row that contradicts itself", row)
            end
        end
        return " " .. table.concat(words, ", ")
    end,
    [25] = fixed(parts.presence, 0, function(d, at)
        return nil, n64(d, at + 24) == ZERO and " asks" or " answers"
    end),
    [28] = fixed(parts.release, 0, function(d, at)
        return nil, string.format(" speaks %d to %d", n8(d, at + 8), n8(d, at + 9))
    end),
    [30] = fixed(parts.times, 0, function(d, at)
        return nil, " stands at " .. tostring(n64(d, at + 8))
    end),
    [29] = function(d)
        local part = 8 * d.count
        ends(d, parts.part.size + part, 0)
        show(d, parts.part, d.top, HEADER_LEN)
        if not has(d, HEADER_LEN, parts.part.size) then
            return ""
        end
        local offset, len = n64(d, HEADER_LEN), n64(d, HEADER_LEN + 8)
        local behind = offset + UInt64.new(part, 0)
        if part < 1 or part > CHECKPOINT_PART_LEN_MAX then
            refuse(d, "count", "a part of " .. part .. " bytes")
        elseif behind < offset or behind > len or len > CHECKPOINT_LEN_MAX then
            refuse(d, "body", "a part that reaches beyond its checkpoint")
        end
        return string.format(" %d bytes at %s of %s", part, offset, len)
    end,
    [26] = fixed(parts.address_proof, 1, function(d)
        return nil, d.flags % 2 == 1 and " returned" or " demanded"
    end),
}
for kind = 9, 13 do
    -- A promise and a grant may say that there is no room.
    BODIES[kind] = fixed(parts.ballot, (kind == 10 or kind == 13) and 1 or 0, judge_ballot)
end

-- ---------------------------------------------------------------------------- the header, and what is whole

-- What every datagram is judged by before its kind; returns words for the summary.
local function judge_header(d, over_tcp)
    local kind, length = n8(d, 5), n32(d, 24)
    d.kind, d.length, d.count, d.flags = kind, length, n16(d, 28), n16(d, 30)
    d.behind = d.len - length
    if not names.kinds[kind] then
        refuse(d, "kind", "a kind that does not exist")
    end
    local fits = length >= HEADER_LEN and length % 8 == 0 and length <= d.len and length <= DATAGRAM_LEN_MAX
    if not fits then
        refuse(d, "length", string.format("length %d in a datagram of %d bytes", length, d.len))
    else
        d.stop = length
    end
    local status = 2
    if fits and length > d.here then
        d.cut = true
    elseif fits and lockstep.prefs.checksum then
        local sum, right
        if n16(d, 6) ~= 0 then
            status = judge_tag(d)
        end
        if kind == 1 then
            -- Of the content, which no key is needed for, and of the first 24 bytes.
            local front = d.tvb:raw(0, 6) .. "\0\0"
            sum = crc32c(d.tvb:raw(104, length - 104), crc32c(d.tvb:raw(24, 72), crc32c(front)))
            local seal = crc32c(d.tvb:raw(0, 24))
            right = n32(d, 96) == sum and n32(d, 100) == seal
        elseif n16(d, 6) == 0 then
            sum = crc32c(d.tvb:raw(24, length - 24), crc32c(d.tvb:raw(0, 8)))
            right = n32(d, 8) == sum and n32(d, 12) == 0 and n64(d, 16) == ZERO
        end
        if sum and not right then
            status = 0
        elseif sum and (n16(d, 6) == 0 or key_files == 0) then
            status = 1
        end
        if sum and not right then
            refuse(d, "checksum", string.format("the checksum of these bytes would be 0x%08x", sum))
        end
    end
    d.top:add(single.tag_status, d.tvb(8, 16), status):set_generated()
    if kind >= JOURNAL_FROM or over_tcp and not OVER_TCP[kind] then
        refuse(d, "kind", "a kind that does not travel this way")
    elseif d.behind ~= 0 and not (kind == 1 and d.behind == TRAILER_LEN) then
        refuse(d, "length", "bytes behind its end")
    end
    d.top:add(single.identity, d.tvb(56, 8), identity_text(n32(d, 56), n32(d, 60))):set_generated()
    local second, at = UInt64.new(1000000000, 0), n64(d, 80)
    local seconds = (at / second):tonumber()
    if seconds > 0 and seconds <= 0x7fffffff then
        local value = NSTime.new(seconds, (at % second):tonumber())
        d.top:add(single.time, d.tvb(80, 8), value):set_generated()
    end
    if kind == 5 then
        d.top:add_le(single.epoch_start, d.tvb(30, 2))
    elseif kind == 20 then
        d.top:add_le(single.chain, d.tvb(30, 2))
    end
end

-- The summary of a datagram, which is added to its tree on the way.
local function summary(d, over_tcp)
    local magic = d.here >= 4 and d.tvb:raw(0, 4) == MAGIC
    local ours = magic and d.here >= 5 and n8(d, 4) >= VERSION_MIN and n8(d, 4) <= VERSION
    -- Of another protocol or version nothing is known but this.
    local known = ours and parts.header or { parts.header[1], magic and parts.header[2] or nil }
    show(d, known, d.top, 0)
    if d.len < HEADER_LEN then
        refuse(d, "short", "fewer bytes than a header")
    elseif not magic and d.here >= 4 then
        refuse(d, "magic", "not lockstep's")
    elseif not ours and d.here >= 5 then
        refuse(d, "version", string.format("version %d, known here are %d to %d", n8(d, 4), VERSION_MIN, VERSION))
    elseif d.here < HEADER_LEN then
        d.cut = true
    else
        judge_header(d, over_tcp)
        local body = BODIES[d.kind]
        local words = name(names.kinds, d.kind, "kind") .. " " .. epoch_text(d.tvb, 48)
        -- Of a frame and a heartbeat the epoch says it.
        local by = d.kind > 2 and " by " .. identity_text(n32(d, 56), n32(d, 60)) or ""
        words = words .. by .. (body and body(d) or "")
        if d.later then
            refuse(d, "body", d.later[1], d.later[2])
        end
        return words
    end
    return d.len .. " bytes"
end

-- One datagram, or one record of a replay, is all of `tvb`.
local function dissect(tvb, pinfo, tree, over_tcp)
    local top = tree:add(lockstep, tvb())
    local d = { tvb = tvb, pinfo = pinfo, top = top, here = tvb:captured_len(), len = tvb:reported_len() }
    d.stop = d.len
    local words = summary(d, over_tcp)
    if d.bad then
        words = words .. " [invalid: " .. d.bad .. "]"
    elseif d.cut then
        top:add_proto_expert_info(cut)
        words = words .. " [cut]"
    end
    top:append_text(": " .. words)
    return words
end

-- A function of its own, as below: a call of `lockstep.dissector` is a layer more, and that joins nothing.
local function datagram(tvb, pinfo, tree)
    pinfo.cols.protocol = "LOCKSTEP"
    pinfo.cols.info = dissect(tvb, pinfo, tree, false)
    return tvb:captured_len()
end

-- ---------------------------------------------------------------------------- replays over TCP

local function begins(tvb, at, size)
    return tvb:captured_len() >= at + size and tvb:raw(at, size) == MAGIC:sub(1, size)
end

-- How many bytes belong to what begins at `at`, and whether they are there. What is no record reaches up to
-- the next one: a capture may have begun in the middle of one.
local function piece(tvb, at)
    local left = tvb:captured_len() - at
    if begins(tvb, at, math.min(left, #MAGIC)) then
        if left < HEADER_LEN then
            return HEADER_LEN, false
        end
        local length = tvb(at + 24, 4):le_uint()
        if length >= HEADER_LEN and length <= DATAGRAM_LEN_MAX then
            return length, length <= left
        end
    end
    local found = tvb:raw(at, left):find(MAGIC, 2, true)
    return found and found - 1 or left, true
end

local function records(tvb, pinfo, tree)
    local here, at, words = tvb:captured_len(), 0, {}
    local joins = here == tvb:reported_len() and pinfo.can_desegment > 0
    pinfo.cols.protocol = "LOCKSTEP"
    while at < here do
        local size, whole = piece(tvb, at)
        if not whole and joins then
            pinfo.desegment_offset = at
            pinfo.desegment_len = at + size - here
            break
        end
        size = math.min(size, here - at)
        words[#words + 1] = dissect(tvb(at, size):tvb(), pinfo, tree, true)
        at = at + size
    end
    if #words > 0 then
        pinfo.cols.info = table.concat(words, "; ")
    end
    return here
end

-- ---------------------------------------------------------------------------- where it is looked for

lockstep.dissector, replay.dissector = datagram, records

lockstep:register_heuristic("udp", function(tvb, pinfo, tree)
    return begins(tvb, 0, #MAGIC) and datagram(tvb, pinfo, tree) > 0
end)

replay:register_heuristic("tcp", function(tvb, pinfo, tree)
    if not begins(tvb, 0, #MAGIC) then
        return false
    end
    -- From here on the whole conversation, also where a segment begins within a record.
    pinfo.conversation = replay
    return records(tvb, pinfo, tree) > 0
end)

local udp, tcp = DissectorTable.get("udp.port"), DissectorTable.get("tcp.port")
udp:add_for_decode_as(lockstep)
tcp:add_for_decode_as(replay)

local ports = { udp = "", tcp = "" }
local function moved(registered, old, new, proto)
    if old ~= "" then
        registered:remove(old, proto)
    end
    if new ~= "" then
        registered:add(new, proto)
    end
    return new
end

function lockstep.prefs_changed()
    ports.udp = moved(udp, ports.udp, lockstep.prefs.udp_ports, lockstep)
    ports.tcp = moved(tcp, ports.tcp, lockstep.prefs.tcp_ports, replay)
    rings, key_files = mac.load_keys(lockstep.prefs.keys)
end
