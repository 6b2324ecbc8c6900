-- The tags of datagrams, verified by keys from key files. lockstep.lua draws this file in from its own folder; by
-- itself it registers nothing. A function, because the operators on bits are not the same in each version of Lua.
--
-- The MAC is AEGIS-128L (draft-irtf-cfrg-aegis-aead, section "MAC"). What it covers, and which key makes which
-- word, stands in docs/PROTOCOL.md; crates/lockstep-wire/src/mac.rs and keys.rs do the same.

return function(band, bxor, rshift)
    local byte, char = string.byte, string.char

    -- ------------------------------------------------------------------------ one round of AES

    -- Twice a number of GF(2^8).
    local function doubled(x)
        return bxor(x * 2 % 256, x >= 128 and 0x1b or 0)
    end

    -- The S-box: the inverse, found by powers of the generator 3, and an affine map.
    local function sbox()
        local power, log, box, x = {}, {}, { [0] = 0x63 }, 1
        for exponent = 0, 254 do
            power[exponent], log[x] = x, exponent
            x = bxor(x, doubled(x))
        end
        for value = 1, 255 do
            local inverse = power[(255 - log[value]) % 255]
            local sum, turned = bxor(inverse, 0x63), inverse
            for _ = 1, 4 do
                turned = turned * 2 % 256 + rshift(turned, 7)
                sum = bxor(sum, turned)
            end
            box[value] = sum
        end
        return box
    end

    -- Of each byte of a column, what it adds to the column that it comes to: SubBytes, ShiftRows and MixColumns.
    local T0, T1, T2, T3 = {}, {}, {}, {}
    for value, s in pairs(sbox()) do
        local two = doubled(s)
        local three = bxor(two, s)
        T0[value] = two + s * 0x100 + s * 0x10000 + three * 0x1000000
        T1[value] = three + two * 0x100 + s * 0x10000 + s * 0x1000000
        T2[value] = s + three * 0x100 + two * 0x10000 + s * 0x1000000
        T3[value] = s + s * 0x100 + three * 0x10000 + two * 0x1000000
    end

    -- ------------------------------------------------------------------------ AEGIS-128L

    -- The four words of the 16 bytes at `at`.
    local function words(text, at)
        local made = {}
        for word = 0, 3 do
            local a, b, c, d = byte(text, at + 4 * word, at + 4 * word + 3)
            made[word + 1] = a + b * 0x100 + c * 0x10000 + d * 0x1000000
        end
        return made
    end

    local function xor(a, b)
        return { bxor(a[1], b[1]), bxor(a[2], b[2]), bxor(a[3], b[3]), bxor(a[4], b[4]) }
    end

    local function round(block, key)
        local a, b, c, d = block[1], block[2], block[3], block[4]
        local function column(p, q, r, s, k)
            local low = bxor(T0[band(p, 0xff)], T1[band(rshift(q, 8), 0xff)])
            return bxor(bxor(low, bxor(T2[band(rshift(r, 16), 0xff)], T3[rshift(s, 24)])), k)
        end
        return {
            column(a, b, c, d, key[1]), column(b, c, d, a, key[2]),
            column(c, d, a, b, key[3]), column(d, a, b, c, key[4]),
        }
    end

    -- One step: each block becomes the round of its neighbour, and two of them absorb the message.
    local function update(state, front, back)
        local made = {}
        for block = 1, 8 do
            local key = state[block]
            if block == 1 then
                key = xor(key, front)
            elseif block == 5 then
                key = xor(key, back)
            end
            made[block] = round(state[(block + 6) % 8 + 1], key)
        end
        return made
    end

    local C0 = words("\x00\x01\x01\x02\x03\x05\x08\x0d\x15\x22\x37\x59\x90\xe9\x79\x62", 1)
    local C1 = words("\xdb\x3d\x18\x55\x6d\xc2\x2f\xf1\x20\x11\x31\x42\x73\xb5\x28\xdd", 1)

    -- The state behind the initialization with a key and a nonce, both 16 bytes.
    local function initial(key, nonce)
        key, nonce = words(key, 1), words(nonce, 1)
        local both, with_c0 = xor(key, nonce), xor(key, C0)
        local state = { both, C1, C0, C1, both, with_c0, xor(key, C1), with_c0 }
        for _ = 1, 10 do
            state = update(state, nonce, key)
        end
        return state
    end

    -- The tag of `message` from the state behind a key's initialization, 16 bytes.
    local function mac(state, message)
        local padded = message .. ("\0"):rep(-#message % 32)
        for at = 1, #padded, 32 do
            state = update(state, words(padded, at), words(padded, at + 16))
        end
        -- The lengths of message and tag in bits.
        local last = xor(state[3], { #message * 8, 0, 128, 0 })
        for _ = 1, 7 do
            state = update(state, last, last)
        end
        local tag = state[1]
        for block = 2, 7 do
            tag = xor(tag, state[block])
        end
        local bytes = {}
        for _, word in ipairs(tag) do
            for shift = 0, 24, 8 do
                bytes[#bytes + 1] = char(band(rshift(word, shift), 0xff))
            end
        end
        return table.concat(bytes)
    end

    -- ------------------------------------------------------------------------ key files

    local TITLE = "lockstep-keys 1"
    local FILES = { "replica.keys", "reader.keys", "publisher.keys", "operator.keys" }
    local NO_NONCE = ("\0"):rep(16)

    -- A key that is expanded when it is first needed.
    local function key_of(hex, label)
        if not hex:match("^%x+$") or #hex ~= 32 then
            return nil
        end
        return { bytes = hex:gsub("%x%x", function(pair) return char(tonumber(pair, 16)) end), label = label }
    end

    local function tag_of(key, message)
        key.state = key.state or initial(key.bytes, NO_NONCE)
        return mac(key.state, message)
    end

    -- Adds the keys in a file's text to `rings`: by cluster, then by generation. Returns whether it is one.
    local function add(rings, text)
        local is_one, ring, generation
        for line in text:gmatch("[^\r\n]+") do
            -- The first line that says anything is the title.
            local words = line:match("^%s*(.-)%s*$")
            is_one = is_one or words == TITLE
            if not is_one and words ~= "" and words:sub(1, 1) ~= "#" then
                return false
            end
            local kind, first, second, third = line:match("^%s*(%S+)%s+(%S+)%s*(%S*)%s*(%S*)")
            if kind == "cluster" then
                rings[first] = rings[first] or {}
                ring = rings[first]
            elseif kind == "generation" and ring and tonumber(first) then
                local number = tonumber(first)
                ring[number] = ring[number] or { number = number, use = second, publishers = {} }
                generation = ring[number]
            elseif kind == "replica" and generation then
                generation.replica = generation.replica or key_of(first, "replica")
            elseif kind == "reader" and generation then
                generation.reader = generation.reader or key_of(first, "reader")
            elseif kind == "publisher" and generation and tonumber(first) then
                local number = tonumber(first)
                local label = "publisher " .. first .. " " .. third
                generation.publishers[number] = generation.publishers[number] or key_of(second, label)
            end
        end
        return is_one
    end

    -- The keys of the file at `path`, or of the files in the folder there; and how many files that are.
    local function load_keys(path)
        local rings, count = {}, 0
        local paths = { path }
        for _, name in ipairs(FILES) do
            paths[#paths + 1] = path .. "/" .. name
        end
        for _, each in ipairs(path ~= "" and paths or {}) do
            local file = io.open(each, "rb")
            -- A folder can be opened, and has no text.
            local text = file and file:read("*a")
            if file then
                file:close()
            end
            if text and add(rings, text) then
                count = count + 1
            end
        end
        return rings, count
    end

    -- ------------------------------------------------------------------------ what is verified

    local WRONG, VERIFIED, NO_KEY = 0, 1, 2
    local REPLICA, READER, FIRST_PUBLISHER = 1, 2, 16

    local function judged(key, generation, is_right)
        if not key then
            return { status = NO_KEY }
        end
        return { status = is_right and VERIFIED or WRONG, generation = generation, label = key.label }
    end

    -- What a MAC covers: the tag counts as zeros, and `number` stands for the header's last word.
    local function covered(datagram, number, behind)
        return datagram:sub(1, 8) .. ("\0"):rep(16) .. datagram:sub(25, 96) .. number .. datagram:sub(105) .. behind
    end

    -- Judges both words of the tag of a datagram under `key_id`, of the cluster with this number (as text).
    local function judge(rings, cluster, key_id, datagram)
        local number = datagram:sub(97, 104)
        if byte(datagram, 6) == 1 then
            -- Of a frame the checksum of its content.
            number = number:sub(1, 4) .. "\0\0\0\0"
        end
        local class, ring = key_id % 0x1000, rings[cluster] or {}
        local keys = ring[rshift(key_id, 12)] or { publishers = {} }
        local seen = { datagram:sub(9, 16), datagram:sub(17, 24) }
        if class ~= REPLICA then
            local key = keys.reader
            if class ~= READER then
                key = class >= FIRST_PUBLISHER and keys.publishers[class - FIRST_PUBLISHER] or nil
            end
            local tag = key and tag_of(key, covered(datagram, number, "")) or ""
            return judged(key, keys, tag:sub(1, 8) == seen[1]), judged(key, keys, tag:sub(9, 16) == seen[2])
        end
        local replica, reader = keys.replica, keys.reader
        local first = replica and tag_of(replica, covered(datagram, number, seen[2])) or ""
        local second = reader and tag_of(reader, covered(datagram, number, "")) or ""
        return judged(replica, keys, first:sub(1, 8) == seen[1]), judged(reader, keys, second:sub(1, 8) == seen[2])
    end

    -- One word of the tag of the trailer behind a repaired frame: it covers the frame's tag too.
    local function trailer_word(key, frame, fields)
        local of_frame = tag_of(key, covered(frame, frame:sub(97, 104), ""))
        local text = "trailer\0" .. ("\0"):rep(16) .. fields .. frame:sub(9, 24) .. of_frame
        return tag_of(key, text .. ("\0"):rep(112 - #text)):sub(1, 8)
    end

    -- Judges both words of a trailer, 48 bytes behind `frame`. It does not say its generation: any may be right.
    local function judge_trailer(rings, cluster, frame, trailer)
        local fields, results = trailer:sub(1, 32), {}
        for word, class in ipairs { "replica", "reader" } do
            local seen = trailer:sub(25 + 8 * word, 32 + 8 * word)
            results[word] = { status = NO_KEY }
            for _, generation in pairs(rings[cluster] or {}) do
                local key = generation[class]
                if key and results[word].status ~= VERIFIED then
                    results[word] = judged(key, generation, trailer_word(key, frame, fields) == seen)
                end
            end
        end
        return results[1], results[2]
    end

    return {
        initial = initial, mac = mac, load_keys = load_keys, judge = judge, judge_trailer = judge_trailer,
        WRONG = WRONG, VERIFIED = VERIFIED, NO_KEY = NO_KEY,
    }
end
