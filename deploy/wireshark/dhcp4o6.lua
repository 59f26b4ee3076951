-- Wireshark dissector for DHCPv4 over DHCPv6 (RFC 7341) and for the link between
-- dhcp6d and dhcp4d, which is Kea's (kea-dhcp6 and kea-dhcp4) with additions.
--
--   tshark -X lua_script:dhcp4o6.lua -r file.pcap
--   Wireshark: copy it to the personal Lua plugins folder (Help, About, Folders)
--
-- It runs before Wireshark's own DHCPv6 dissector, which still shows every DHCPv6
-- message in full. It adds what that one does not know:
--
--   the messages DHCPV4-QUERY (20) and DHCPV4-RESPONSE (21), at any relay depth
--   option 87, the DHCPv4 message, by Wireshark's DHCP dissector
--   option 88, the addresses of 4o6 servers
--   option 17 of enterprise 2495 (ISC): suboptions 60000 interface, 60001 source
--     address, 60002 source port, 60003 local address,
--     60016 relay levels that are not believed, 60017 options for the response,
--     60004 mark and 60005 ability of a probe (ours, not Kea's, from 60003 on)
--   option 11 with protocol 0xfe: the authentication of our daemons
--
-- The ports of the link are in the preferences (dhcp4o6.ipc_ports); for others:
-- -d udp.port==7860,dhcp4o6. Written for Wireshark 4.0 and later.

local dhcp4o6 = Proto("dhcp4o6", "DHCPv4 over DHCPv6")

local QUERY, RESPONSE = 20, 21
local RELAY_FORW, RELAY_REPL = 12, 13
local OPT_RELAY_MSG, OPT_AUTH, OPT_VENDOR, OPT_DHCPV4, OPT_SERVERS = 9, 11, 17, 87, 88
local ISC = 2495
local SESSION, GREETING = 2, 3 -- algorithms of our authentication
local MAX_RELAYS = 32 -- what Kea nests at most

local types = { [QUERY] = "DHCPV4-QUERY", [RESPONSE] = "DHCPV4-RESPONSE" }

local algorithms = { [1] = "HMAC-SHA-256", [2] = "Session (AES-GMAC, encrypted)", [3] = "Greeting (HMAC-SHA-256)" }
local abilities = { [0] = "able", "store has failed", "disk hangs", "leases are being loaded", "clock is wrong", "shutting down" }

local f = {
  type = ProtoField.uint8("dhcp4o6.type", "Message type", base.DEC, types),
  flags = ProtoField.uint24("dhcp4o6.flags", "Flags", base.HEX),
  unicast = ProtoField.bool("dhcp4o6.flags.unicast", "Unicast", 24, nil, 0x800000,
    "The carried message would have been sent to a unicast address"),
  reserved = ProtoField.uint24("dhcp4o6.flags.reserved", "Reserved, must be zero", base.HEX, nil, 0x7fffff),
  relays = ProtoField.uint8("dhcp4o6.relays", "Relay levels"),
  probe = ProtoField.bool("dhcp4o6.ipc.probe", "Probe", base.NONE, nil, nil, "Asks a dhcp4d whether it lives, or says so"),
  server = ProtoField.ipv6("dhcp4o6.server", "4o6 server"),
  interface = ProtoField.string("dhcp4o6.ipc.interface", "Interface of dhcp6d"),
  source = ProtoField.ipv6("dhcp4o6.ipc.source", "Source of the query"),
  port = ProtoField.uint16("dhcp4o6.ipc.port", "Source port of the query"),
  unbelieved = ProtoField.uint8("dhcp4o6.ipc.unbelieved", "Innermost relay levels that are not believed"),
  beside = ProtoField.bytes("dhcp4o6.ipc.beside", "Options for the response"),
  localaddr = ProtoField.ipv6("dhcp4o6.ipc.local", "Address that the query was sent to"),
  mark = ProtoField.uint32("dhcp4o6.ipc.mark", "Mark of the probe"),
  ability = ProtoField.uint8("dhcp4o6.ipc.ability", "Ability to acknowledge leases", base.DEC, abilities),
  algorithm = ProtoField.uint8("dhcp4o6.ipc.auth.algorithm", "Algorithm", base.DEC, algorithms),
  sequence = ProtoField.uint64("dhcp4o6.ipc.auth.sequence", "Sequence number"),
  key = ProtoField.uint32("dhcp4o6.ipc.auth.key", "Key id"),
  sender = ProtoField.bytes("dhcp4o6.ipc.auth.sender", "Sender id"),
  session = ProtoField.bytes("dhcp4o6.ipc.auth.session", "Session id"),
  time = ProtoField.absolute_time("dhcp4o6.ipc.auth.time", "Time", base.UTC),
  returned = ProtoField.uint32("dhcp4o6.ipc.auth.returned", "Receiver's clock as heard last, in seconds"),
  ready = ProtoField.bool("dhcp4o6.ipc.auth.ready", "The session is there", 8, nil, 0x01),
  from = ProtoField.bytes("dhcp4o6.ipc.auth.from", "Identity of the sender"),
  to = ProtoField.bytes("dhcp4o6.ipc.auth.to", "Identity of the receiver, zero if not known"),
  clock = ProtoField.uint64("dhcp4o6.ipc.auth.clock", "Sender's clock, in nanoseconds"),
  echo = ProtoField.uint64("dhcp4o6.ipc.auth.echo", "Receiver's clock as heard last, in nanoseconds"),
  mac = ProtoField.bytes("dhcp4o6.ipc.auth.mac", "Tag"),
}
for _, field in pairs(f) do table.insert(dhcp4o6.fields, field) end

local e = {
  length = ProtoExpert.new("dhcp4o6.length", "Length runs past its container or does not fit the content",
    expert.group.MALFORMED, expert.severity.ERROR),
  several = ProtoExpert.new("dhcp4o6.several", "More than one DHCPv4 message (RFC 7341, section 6.1)",
    expert.group.PROTOCOL, expert.severity.WARN),
  none = ProtoExpert.new("dhcp4o6.none", "No DHCPv4 message (RFC 7341, section 6.1)",
    expert.group.PROTOCOL, expert.severity.WARN),
  flags = ProtoExpert.new("dhcp4o6.reserved", "Flags that must be zero are set",
    expert.group.PROTOCOL, expert.severity.WARN),
  depth = ProtoExpert.new("dhcp4o6.depth", "More relay levels than anybody nests",
    expert.group.PROTOCOL, expert.severity.WARN),
}
for _, info in pairs(e) do table.insert(dhcp4o6.experts, info) end

dhcp4o6.prefs.ipc_ports = Pref.string("UDP ports of the link", "6767-6768,786-787",
  "Between dhcp6d (or kea-dhcp6) and dhcp4d (or kea-dhcp4)")

local dhcpv6 = Dissector.get("dhcpv6")
local dhcp = Dissector.get("dhcp")

-- each calls visit(code, offset, length, all) for the options from offset to the
-- end of the message; all is the whole option. It returns false when a length runs
-- past the end.
local function each(tvb, offset, stop, visit)
  while offset < stop do
    if stop - offset < 4 then return false end
    local code, length = tvb(offset, 2):uint(), tvb(offset + 2, 2):uint()
    if length > stop - offset - 4 then return false end
    visit(code, offset + 4, length, tvb(offset, 4 + length))
    offset = offset + 4 + length
  end
  return true
end

-- fixed adds a field of a fixed length, or says that the length is wrong.
local function fixed(tree, field, range, length)
  if range:len() == length then
    tree:add(field, range)
  else
    tree:add_proto_expert_info(e.length)
  end
end

-- context shows the suboptions of ISC's vendor option that carry a query's way
-- back, or that are a probe. It returns whether they are a probe.
local function context(tvb, offset, length, all, tree)
  local branch
  local probe = false
  local complete = each(tvb, offset + 4, offset + length, function(code, at, len)
    if (code < 60000 or code > 60005) and code ~= 60016 and code ~= 60017 then return end
    branch = branch or tree:add(dhcp4o6, all, code == 60004 and "Probe (option 17 of ISC)" or "Return context (option 17 of ISC)")
    local value = len > 0 and tvb(at, len)
    if not value then
      branch:add_proto_expert_info(e.length)
    elseif code == 60000 then
      branch:add(f.interface, value)
    elseif code == 60001 then
      fixed(branch, f.source, value, 16)
    elseif code == 60002 then
      fixed(branch, f.port, value, 2)
    elseif code == 60003 then
      fixed(branch, f.localaddr, value, 16)
    elseif code == 60004 then
      probe = true
      fixed(branch, f.mark, value, 4)
    elseif code == 60005 then
      fixed(branch, f.ability, value, 1)
    elseif code == 60017 then
      branch:add(f.beside, value)
    else
      fixed(branch, f.unbelieved, value, 1)
    end
  end)
  if not complete then tree:add_proto_expert_info(e.length) end
  return probe
end

-- authentication shows the Authentication option of our daemons: protocol 0xfe, the
-- algorithm, replay detection 0, and what the comment of package shared/ipc says.
local function authentication(tvb, offset, length, all, tree)
  local branch = tree:add(dhcp4o6, all, "Authentication (option 11)")
  local algorithm = tvb(offset + 1, 1):uint()
  branch:add(f.algorithm, tvb(offset + 1, 1))
  if length ~= (algorithm == GREETING and 72 or 43) then
    branch:add_proto_expert_info(e.length)
    return
  end
  if algorithm == GREETING then
    branch:add(f.ready, tvb(offset + 3, 1))
    branch:add(f.key, tvb(offset + 4, 4))
    branch:add(f.from, tvb(offset + 8, 16))
    branch:add(f.to, tvb(offset + 24, 16))
    branch:add(f.clock, tvb(offset + 40, 8))
    branch:add(f.echo, tvb(offset + 48, 8))
    branch:add(f.mac, tvb(offset + 56, 16))
    return
  end
  branch:add(f.sequence, tvb(offset + 3, 8))
  branch:add(f.key, tvb(offset + 11, 4))
  branch:add(algorithm == SESSION and f.session or f.sender, tvb(offset + 15, 8))
  branch:add(algorithm == SESSION and f.returned or f.time, tvb(offset + 23, 4))
  branch:add(f.mac, tvb(offset + 27, 16))
end

-- isOurs returns whether an Authentication option is one of our daemons.
local function isOurs(tvb, offset, length) return length >= 3 and tvb(offset, 1):uint() == 0xfe end

local function servers(tvb, offset, length, all, tree)
  local branch = tree:add(dhcp4o6, all, "DHCP 4o6 servers (option 88)")
  if length == 0 then branch:append_text(": none, use ff02::1:2") end
  if length % 16 ~= 0 then branch:add_proto_expert_info(e.length) end
  for at = offset, offset + length - 16, 16 do branch:add(f.server, tvb(at, 16)) end
end

-- innermost finds the client's message in a chain of relay levels. It returns the
-- message's offset and end, the number of levels, and what is wrong with the chain.
local function innermost(tvb)
  local offset, stop = 0, tvb:len()
  for levels = 0, MAX_RELAYS do
    if stop - offset < 4 then return nil, nil, levels, e.length end
    local kind = tvb(offset, 1):uint()
    if kind ~= RELAY_FORW and kind ~= RELAY_REPL then return offset, stop, levels end
    if stop - offset < 34 then return nil, nil, levels, e.length end
    local at, len
    if not each(tvb, offset + 34, stop, function(code, o, l)
      if code == OPT_RELAY_MSG and not at then at, len = o, l end
    end) or not at then
      return nil, nil, levels, e.length
    end
    offset, stop = at, at + len
  end
  return nil, nil, MAX_RELAYS, e.depth
end

-- unsigned returns the message without our authentication at its end, which Wireshark's
-- dissector would report as a broken option.
local function unsigned(tvb)
  for _, trailer in ipairs({ { 47, "000b002bfe" }, { 76, "000b0048fe" } }) do
    local from = tvb:len() - trailer[1]
    if from >= 4 and tvb(from, 5):bytes() == ByteArray.new(trailer[2]) then return tvb(0, from):tvb() end
  end
  return tvb
end

function dhcp4o6.dissector(tvb, pinfo, root)
  -- It does not decode a malformed message.
  local sound = pcall(dhcpv6.call, dhcpv6, unsigned(tvb), pinfo, root)
  local start, stop, levels, fault = innermost(tvb)
  local tree
  local function branch()
    if not tree then
      tree = root:add(dhcp4o6, tvb())
      if levels > 0 then tree:add(f.relays, levels):set_generated() end
    end
    return tree
  end
  if not sound then branch():add_proto_expert_info(e.length) end
  if not start then
    branch():add_proto_expert_info(fault)
    return tvb:len()
  end

  local kind = tvb(start, 1):uint()
  local ours = types[kind] ~= nil
  local message
  if ours then
    branch():add(f.type, tvb(start, 1))
    local flags = tvb(start + 1, 3)
    local bits = tree:add(f.flags, flags)
    bits:add(f.unicast, flags)
    bits:add(f.reserved, flags)
    if flags:bitfield(1, 23) ~= 0 or (kind == RESPONSE and flags:uint() ~= 0) then
      bits:add_proto_expert_info(e.flags)
    end
  end
  local signed, probe = false, false
  local function option(code, at, len, all)
    if code == OPT_SERVERS then
      servers(tvb, at, len, all, branch())
    elseif ours and code == OPT_VENDOR and len >= 4 and tvb(at, 4):uint() == ISC then
      probe = context(tvb, at, len, all, branch()) or probe
    elseif code == OPT_AUTH and isOurs(tvb, at, len) then
      signed = true
      authentication(tvb, at, len, all, branch())
    elseif ours and code == OPT_DHCPV4 then
      if message then branch():add_proto_expert_info(e.several) end
      message = message or { at, len }
    end
  end
  local complete = each(tvb, start + 4, stop, option)
  if not complete then branch():add_proto_expert_info(e.length) end
  -- The authentication of a relayed message is at the outermost level.
  if levels > 0 then
    each(tvb, 34, tvb:len(), function(code, at, len, all)
      if code == OPT_AUTH and isOurs(tvb, at, len) then authentication(tvb, at, len, all, branch()) end
    end)
  end
  if not ours then return tvb:len() end

  local columns = types[kind]
  if message and message[2] > 0 then
    if not pcall(dhcp.call, dhcp, tvb(message[1], message[2]):tvb(), pinfo, root) then
      tree:add_proto_expert_info(e.length)
    end
    columns = columns .. ": " .. tostring(pinfo.cols.info)
  elseif stop - start == 4 or signed or probe then
    tree:add(f.probe, tvb(start, 4), true):set_generated()
    columns = columns .. " (probe)"
  elseif complete then
    tree:add_proto_expert_info(e.none)
  end
  if levels > 0 then columns = columns .. ", relayed" end
  pinfo.cols.protocol = "DHCP4o6"
  pinfo.cols.info = columns
  return tvb:len()
end

local ports = DissectorTable.get("udp.port")
ports:add("546-547", dhcp4o6)
ports:add_for_decode_as(dhcp4o6)

local registered
local function register()
  if registered then ports:remove(registered, dhcp4o6) end
  registered = dhcp4o6.prefs.ipc_ports
  if registered ~= "" then ports:add(registered, dhcp4o6) end
end
dhcp4o6.prefs_changed = register
register()
