-- Reads containers with all that is kept of them.
local rows, bodies, outputs = fields(CONTAINERS, asked.ids), fields(BODIES, asked.ids), fields(OUTPUTS, asked.ids)
local found = {}
for at in ipairs(asked.ids) do
  found[at] = { rows[at] or '', bodies[at] or '', outputs[at] or '' }
end
return pack({ done = found })
