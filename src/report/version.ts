// leakscope's own version, which every report carries. A test compares it with package.json: `report` reads no files.

export const leakscopeVersion = '0.1.0';
