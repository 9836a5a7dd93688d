-- Makes a cell in which nothing has happened, if there is none; answers whether it did. One of which nothing is left settles
-- as after any loss.
local is_made = call('EXISTS', CELL) == 0
if is_made then
  local phases = { 0, 0, 0, 0, 0, 0, 0, 0 }
  call('SET', CELL, pack({
    VERSION, asked.history, 0, 0, false, 0, 0, phases, 0, 0, 0, 0, 0, false, asked.settling, 0, run_of_server(),
  }))
end
return pack({ done = is_made })
